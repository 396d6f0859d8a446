#pragma once
#include <algorithm>
#include <random>
#include <vector>

#include "model/predictor.h"
#include "native/two_pass.h"

/// Small networks and random layouts that the tests of the packed step share.

namespace ehrjepa::test {

inline constexpr std::int32_t vocabulary = 41;
inline constexpr std::int32_t mask_token = 40;

inline Qwen3Config config_of(bool tied) {
  return {.vocab_size = vocabulary,
          .hidden_size = 12,
          .intermediate_size = 20,
          .num_hidden_layers = 2,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 6,
          .rope_theta = 1e4,
          .tie_word_embeddings = tied,
          .initializer_range = 0.3};
}

inline constexpr BranchKind kinds[] = {BranchKind::kCausal, BranchKind::kIsolated, BranchKind::kState,
                                       BranchKind::kViews};

/// 1 to 4 patients of 2 to `longest` tokens, each with 0 to 4 cuts, one-token contexts among them.
inline PlainBatch random_batch(unsigned seed, int longest, BranchKind kind) {
  std::mt19937 random(seed);
  const auto draw = [&](int low, int high) {
    return static_cast<std::int32_t>(low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1)));
  };
  PlainBatch batch;
  batch.kind = kind;
  const bool all_masked = kind == BranchKind::kIsolated || kind == BranchKind::kState;
  const int patients = draw(1, 4);
  if (kind == BranchKind::kViews) batch.predictor_tokens = draw(0, 4);
  for (int s = 0; s < patients; ++s) {
    const std::int32_t length = draw(2, longest);
    std::vector<std::int32_t>& tokens = batch.sequences.emplace_back();
    for (int i = 0; i < length; ++i) tokens.push_back(draw(0, mask_token - 1));
    batch.context_lengths.push_back(draw(1, length - 1));
    for (int k = draw(0, 4); k > 0; --k) {
      PlainBranch branch{s, k == 1 ? 1 : draw(1, length - 1), {}, {}, {}, {}};
      const auto add = [&](std::int32_t token, std::int32_t position, std::int32_t target) {
        if (kind != BranchKind::kState) {
          branch.tokens.push_back(token);
          branch.position_ids.push_back(position);
        }
        branch.targets.push_back(target);
        branch.days.push_back(static_cast<float>(position) * 7.5F);
      };
      if (kind == BranchKind::kViews) {
        for (std::int32_t i = 0; i < batch.predictor_tokens; ++i) add(mask_token, branch.cut + i, -1);
        for (std::int32_t i = branch.cut; i < length; ++i) {
          add(tokens[static_cast<std::size_t>(i)], i - branch.cut, -1);
        }
      } else {
        for (std::int32_t i = branch.cut; i < length; ++i) {
          if (all_masked && draw(0, 2) == 0 && i + 1 < length) continue;
          const bool masked = all_masked || draw(0, 1) == 0 || i + 1 == length;
          add(masked ? mask_token : tokens[static_cast<std::size_t>(i)], i, masked ? i : -1);
        }
      }
      batch.branches.push_back(branch);
    }
  }
  return batch;
}

inline PlainBatch random_batch(unsigned seed, int longest) { return random_batch(seed, longest, kinds[seed % 2]); }

inline constexpr PredictorOptions mlp_predictor{.kind = PredictorKind::kMlp, .width = 24};
inline constexpr PredictorOptions transformer_predictor{
    .kind = PredictorKind::kTransformer, .width = 8, .layers = 2, .heads = 2};
inline constexpr PredictorOptions state_predictor{
    .kind = PredictorKind::kTransformer, .width = 8, .layers = 2, .heads = 2, .from_state = true};

// Tokens 30 to 35 stand in the clean future alone.
inline PlainBatch leak_batch(BranchKind kind) {
  PlainBatch batch;
  batch.kind = kind;
  batch.sequences = {{1, 2, 3, 4, 30, 31, 32, 33}, {5, 6, 7, 34, 35}};
  batch.context_lengths = {4, 3};
  batch.branches = {{0, 4, {mask_token, mask_token, mask_token, mask_token}, {4, 5, 6, 7}, {4, 5, 6, 7}, {1, 2, 9, 30}},
                    {1, 3, {mask_token, mask_token}, {3, 4}, {3, 4}, {400, 5000}}};
  if (kind == BranchKind::kState) {
    for (PlainBranch& branch : batch.branches) branch.tokens = branch.position_ids = {};
  }
  return batch;
}

inline at::Tensor flat(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& tensor : tensors) parts.push_back(tensor.detach().to(at::kDouble).flatten());
  return at::cat(parts);
}

inline double relative(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).norm() / expected.norm()).item<double>();
}

}  // namespace ehrjepa::test
