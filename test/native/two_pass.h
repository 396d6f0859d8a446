#pragma once
#include <ATen/ATen.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "model/predictor.h"
#include "model/qwen3.h"
#include "objective/latent.h"
#include "objective/next_token.h"
#include "train/batch.h"

/// A batch as a list: what the packed layout is made from, and what the oracle reads.
struct PlainBranch {
  std::int32_t sequence, cut;
  std::vector<std::int32_t> tokens, position_ids, targets;  ///< targets within the sequence, -1 for none
};
struct PlainBatch {
  std::vector<std::vector<std::int32_t>> sequences;
  std::vector<std::int32_t> context_lengths;
  std::vector<PlainBranch> branches;
  bool isolated = false;

  std::vector<std::int32_t> offsets() const {
    std::vector<std::int32_t> result = {0};
    for (const auto& sequence : sequences) {
      result.push_back(result.back() + static_cast<std::int32_t>(sequence.size()));
    }
    return result;
  }

  ehrjepa::train::WorldModelBatch packed(std::int64_t vocab_size) const {
    std::vector<std::int32_t> tokens, positions, owner, cuts, cu_rows = {0}, branch_tokens, branch_positions, targets;
    for (const auto& sequence : sequences) {
      for (std::size_t i = 0; i < sequence.size(); ++i) {
        tokens.push_back(sequence[i]);
        positions.push_back(static_cast<std::int32_t>(i));
      }
    }
    const std::vector<std::int32_t> begin = offsets();
    for (const PlainBranch& branch : branches) {
      owner.push_back(branch.sequence);
      cuts.push_back(branch.cut);
      for (std::size_t i = 0; i < branch.tokens.size(); ++i) {
        branch_tokens.push_back(branch.tokens[i]);
        branch_positions.push_back(branch.position_ids[i]);
        const std::int32_t target = branch.targets[i];
        targets.push_back(target < 0 ? -1 : begin[static_cast<std::size_t>(branch.sequence)] + target);
      }
      cu_rows.push_back(static_cast<std::int32_t>(branch_tokens.size()));
    }
    return ehrjepa::train::world_model_batch(
        ehrjepa::train::packed_tokens(tokens, begin, positions, vocab_size), context_lengths,
        {owner, cuts, cu_rows, branch_tokens, branch_positions, targets, isolated}, false, vocab_size);
  }
};

struct LossPair {
  at::Tensor next_token;  ///< undefined when nothing is scored
  at::Tensor latent;      ///< undefined without predictions
};

/// The losses from plain causal forward passes, one for each sequence and one for each branch (each query) with its
/// context in front: no packed layout, no branch attention.
inline LossPair two_pass_losses(const PlainBatch& batch, const ehrjepa::model::Qwen3Weights& weights,
                                const ehrjepa::model::Qwen3Weights& target_weights,
                                const ehrjepa::model::Predictor& predictor, const ehrjepa::model::Qwen3Config& config) {
  using namespace ehrjepa;
  using Tokens = std::vector<std::int32_t>;
  static const std::atomic<bool> running{false};
  const auto states = [&](const model::Qwen3Weights& network, const Tokens& tokens, const Tokens& positions) {
    const Tokens cu_seqlens = {0, static_cast<std::int32_t>(tokens.size())};
    return model::qwen3_forward(network, config, train::packed_tokens(tokens, cu_seqlens, positions, config.vocab_size),
                                running);
  };
  const auto count_up = [](std::size_t length) {
    Tokens result;
    for (std::size_t i = 0; i < length; ++i) result.push_back(static_cast<std::int32_t>(i));
    return result;
  };
  std::vector<at::Tensor> scored, targets_of;
  std::vector<std::int64_t> labels;
  for (std::size_t s = 0; s < batch.sequences.size(); ++s) {
    const Tokens& tokens = batch.sequences[s];
    const at::Tensor hidden = states(weights, tokens, count_up(tokens.size()));
    for (std::size_t i = static_cast<std::size_t>(batch.context_lengths[s]); i < tokens.size(); ++i) {
      scored.push_back(hidden[static_cast<std::int64_t>(i) - 1]);
      labels.push_back(tokens[i]);
    }
    const at::NoGradGuard no_grad;
    targets_of.push_back(objective::normalise_target(states(target_weights, tokens, count_up(tokens.size()))));
  }
  std::vector<at::Tensor> predicted, targets;
  for (const PlainBranch& branch : batch.branches) {
    const Tokens& sequence = batch.sequences[static_cast<std::size_t>(branch.sequence)];
    const auto run = [&](std::size_t first, std::size_t last) {
      Tokens tokens(sequence.begin(), sequence.begin() + branch.cut);
      Tokens positions = count_up(tokens.size());
      tokens.insert(tokens.end(), branch.tokens.begin() + static_cast<std::ptrdiff_t>(first),
                    branch.tokens.begin() + static_cast<std::ptrdiff_t>(last));
      positions.insert(positions.end(), branch.position_ids.begin() + static_cast<std::ptrdiff_t>(first),
                       branch.position_ids.begin() + static_cast<std::ptrdiff_t>(last));
      const at::Tensor hidden = states(weights, tokens, positions);
      for (std::size_t i = first; i < last; ++i) {
        if (branch.targets[i] < 0) continue;
        predicted.push_back(hidden[branch.cut + static_cast<std::int64_t>(i - first)]);
        targets.push_back(targets_of[static_cast<std::size_t>(branch.sequence)][branch.targets[i]]);
      }
    };
    if (batch.isolated) {
      for (std::size_t i = 0; i < branch.tokens.size(); ++i) run(i, i + 1);
    } else {
      run(0, branch.tokens.size());
    }
  }
  LossPair result;
  if (!scored.empty()) {
    result.next_token = objective::next_token_loss(at::stack(scored), weights.lm_head, at::tensor(labels, at::kLong));
  }
  if (!predicted.empty()) {
    result.latent = objective::latent_loss(predictor.forward(at::stack(predicted)), at::stack(targets));
  }
  return result;
}
