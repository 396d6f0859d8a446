#pragma once
#include <ATen/ATen.h>

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "model/predictor.h"
#include "model/qwen3.h"
#include "objective/latent.h"
#include "objective/next_token.h"
#include "train/batch.h"

/// A batch as a list: what the packed layout is made from, and what the oracle reads.
struct PlainBranch {
  std::int32_t sequence, cut;
  std::vector<std::int32_t> tokens, position_ids, targets;  ///< targets within the sequence, -1 for none
  std::vector<float> days = {};                             ///< as many as targets; empty: 0 everywhere
};
struct PlainBatch {
  std::vector<std::vector<std::int32_t>> sequences;
  std::vector<std::int32_t> context_lengths;
  std::vector<PlainBranch> branches;
  ehrjepa::BranchKind kind = ehrjepa::BranchKind::kCausal;
  std::int32_t predictor_tokens = 0;  ///< of two views: the first rows of each branch, the rest being the future

  std::vector<std::int32_t> offsets() const {
    std::vector<std::int32_t> result = {0};
    for (const auto& sequence : sequences) {
      result.push_back(result.back() + static_cast<std::int32_t>(sequence.size()));
    }
    return result;
  }

  ehrjepa::train::WorldModelBatch packed(std::int64_t vocab_size, at::Device device = at::kCPU) const {
    const ehrjepa::TrainingBatch batch = for_training();
    return ehrjepa::train::world_model_batch(
        ehrjepa::model::packed_tokens(batch.tokens, batch.cu_seqlens, batch.position_ids, vocab_size, device),
        batch.context_lengths, batch.branches, ehrjepa::ScoredLabels::kFuture, vocab_size);
  }

  /// As it crosses the border.
  ehrjepa::TrainingBatch for_training() const {
    std::vector<std::int32_t> tokens, positions, owner, cuts, cu_rows = {0}, branch_tokens, branch_positions, targets;
    for (const auto& sequence : sequences) {
      for (std::size_t i = 0; i < sequence.size(); ++i) {
        tokens.push_back(sequence[i]);
        positions.push_back(static_cast<std::int32_t>(i));
      }
    }
    const std::vector<std::int32_t> begin = offsets();
    std::vector<float> days;
    for (const PlainBranch& branch : branches) {
      owner.push_back(branch.sequence);
      cuts.push_back(branch.cut);
      branch_tokens.insert(branch_tokens.end(), branch.tokens.begin(), branch.tokens.end());
      branch_positions.insert(branch_positions.end(), branch.position_ids.begin(), branch.position_ids.end());
      for (std::size_t i = 0; i < branch.targets.size(); ++i) {
        const std::int32_t target = branch.targets[i];
        targets.push_back(target < 0 ? -1 : begin[static_cast<std::size_t>(branch.sequence)] + target);
        days.push_back(branch.days.empty() ? 0.0F : branch.days[i]);
      }
      cu_rows.push_back(static_cast<std::int32_t>(targets.size()));
    }
    ehrjepa::TrainingBatch batch;
    batch.tokens = tokens;
    batch.cu_seqlens = begin;
    batch.position_ids = positions;
    batch.context_lengths = context_lengths;
    batch.branches = {owner, cuts, cu_rows, branch_tokens, branch_positions, targets, days, kind, predictor_tokens};
    return batch;
  }
};

/// A collapse monitor of a reading, by its name.
inline double monitor(const ehrjepa::Losses& losses, std::string_view name) {
  for (const auto& [found, value] : *losses.collapse) {
    if (found == name) return value;
  }
  throw ehrjepa::Error("no such monitor");
}

struct LossPair {
  at::Tensor next_token;  ///< undefined when nothing is scored
  at::Tensor latent;      ///< undefined without predictions
};

/// The losses from plain causal forward passes, one for each sequence and one for each branch (each query, each view)
/// with its context in front, and one call of the predictor for each prediction: no packed layout, no branch attention.
inline LossPair two_pass_losses(const PlainBatch& batch, const ehrjepa::model::Qwen3Weights& weights,
                                const ehrjepa::model::Qwen3Weights& target_weights,
                                const ehrjepa::model::Predictor& predictor, const ehrjepa::Qwen3Config& config) {
  using namespace ehrjepa;
  using Tokens = std::vector<std::int32_t>;
  static const std::atomic<bool> running{false};
  const auto states = [&](const model::Qwen3Weights& network, const Tokens& tokens, const Tokens& positions) {
    const Tokens cu_seqlens = {0, static_cast<std::int32_t>(tokens.size())};
    return model::qwen3_forward(network, config, model::packed_tokens(tokens, cu_seqlens, positions, config.vocab_size),
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
  using Difference = std::ptrdiff_t;
  std::vector<at::Tensor> predicted, targets;
  for (const PlainBranch& branch : batch.branches) {
    const Tokens& sequence = batch.sequences[static_cast<std::size_t>(branch.sequence)];
    const Tokens context(sequence.begin(), sequence.begin() + branch.cut);
    // Hidden states of the context followed by some rows of the branch.
    const auto after_context = [&](std::size_t first, std::size_t last) {
      Tokens tokens = context, positions = count_up(context.size());
      tokens.insert(tokens.end(), branch.tokens.begin() + static_cast<Difference>(first),
                    branch.tokens.begin() + static_cast<Difference>(last));
      positions.insert(positions.end(), branch.position_ids.begin() + static_cast<Difference>(first),
                       branch.position_ids.begin() + static_cast<Difference>(last));
      return states(weights, tokens, positions);
    };
    // One prediction at a time, with a context of its own.
    const auto predict = [&](std::size_t i, const at::Tensor& hidden, const at::Tensor& row) {
      predicted.push_back(predictor
                              .forward({row.defined() ? row.unsqueeze(0) : row, hidden.narrow(0, branch.cut - 1, 1),
                                        at::zeros({1}, at::kLong),
                                        at::full({1}, branch.days.empty() ? 0.0F : branch.days[i], at::kFloat)})
                              .squeeze(0));
      targets.push_back(targets_of[static_cast<std::size_t>(branch.sequence)][branch.targets[i]]);
    };
    const std::size_t entries = branch.targets.size();
    if (batch.kind == BranchKind::kViews) {
      const auto own = static_cast<std::size_t>(batch.predictor_tokens);
      predicted.push_back(after_context(0, own)[-1]);
      const Tokens future(branch.tokens.begin() + static_cast<Difference>(own), branch.tokens.end());
      targets.push_back(states(weights, future, count_up(future.size()))[-1]);
    } else if (batch.kind == BranchKind::kState) {
      const at::Tensor hidden = after_context(0, 0);
      for (std::size_t i = 0; i < entries; ++i) {
        if (branch.targets[i] >= 0) predict(i, hidden, {});
      }
    } else {
      const bool isolated = batch.kind == BranchKind::kIsolated;
      const at::Tensor together = isolated ? at::Tensor() : after_context(0, entries);
      for (std::size_t i = 0; i < entries; ++i) {
        if (branch.targets[i] < 0) continue;
        const at::Tensor hidden = isolated ? after_context(i, i + 1) : together;
        predict(i, hidden, hidden[branch.cut + (isolated ? 0 : static_cast<std::int64_t>(i))]);
      }
    }
  }
  LossPair result;
  if (!scored.empty()) {
    result.next_token = objective::next_token_loss(at::stack(scored), weights.lm_head, at::tensor(labels, at::kLong));
  }
  if (!predicted.empty()) {
    result.latent = batch.kind == BranchKind::kViews
                        ? objective::latent_loss(at::stack(predicted), at::stack(targets), LatentLossKind::kCosine)
                        : objective::latent_loss(at::stack(predicted), at::stack(targets));
  }
  return result;
}
