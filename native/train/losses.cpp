#include "train/losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "distributed/group.h"
#include "memory/transfer.h"
#include "objective/anti_collapse/terms.h"
#include "objective/collapse/monitors.h"
#include "objective/latent.h"
#include "objective/next_token.h"
#include "train/gathered_model.h"
#include "train/row_set.h"
#include "train/shared_state.h"

namespace ehrjepa::train {
namespace {

/// The sum of those that are defined.
at::Tensor sum_of(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined()) return b;
  return b.defined() ? a + b : a;
}

void check_latent(const WorldModelBatch& batch, const LatentOptions& latent) {
  if (batch.target_rows.empty()) throw Error("[latent] the batch must hold at least one masked position but holds 0");
  if (latent.target == TargetKind::kOnline && latent.target_layers != 1) {
    throw Error("[latent] target layers must be 1 with the online target but are " +
                std::to_string(latent.target_layers));
  }
  if ((latent.target == TargetKind::kViews) != (batch.kind == BranchKind::kViews)) {
    throw Error("[latent] the target must be views exactly when the branches are, but one of them is not");
  }
}

/// Predictions of target states, (M, D), with gradient.
at::Tensor predict(WorldModel& model, const WorldModelBatch& batch, const at::Tensor& hidden_TD) {
  const RowSet contexts(batch.context_rows);
  const at::Device device = hidden_TD.device();
  return model.training()
      .predictor.cast(hidden_TD.scalar_type())
      .forward({.branch_MD =
                    batch.kind == BranchKind::kState ? at::Tensor() : hidden_TD.index_select(0, batch.predicted_rows),
                .context_CD = hidden_TD.index_select(0, contexts.index(device)),
                .context_of_M = contexts.places_of(batch.context_rows, device),
                .days_M = batch.days});
}

}  // namespace

ContextStates encode_context(WorldModel& model, const WorldModelBatch& batch, const LossOptions& options,
                             const std::optional<model::DropoutKey>& dropout, const std::atomic<bool>& cancelled) {
  GatheredWeights* const gathered = model.gathered() == nullptr ? nullptr : &model.gathered()->encoder();
  if (gathered != nullptr) gathered->begin_forward();
  const model::Qwen3Weights weights =
      gathered == nullptr ? model::cast_weights(model.whole_encoder(), model.compute_dtype()) : gathered->weights();
  const bool with_branches = options.latent_weight > 0.0;
  return {model::qwen3_forward(weights, model.config(), with_branches ? batch.packed : batch.packed.trunk(), cancelled,
                               dropout, model.activation_checkpointing(), gathered),
          weights.lm_head};
}

Targets encode_targets(WorldModel& model, const WorldModelBatch& batch, const at::Tensor& hidden_TD,
                       const LossOptions& options, const std::atomic<bool>& cancelled) {
  const LatentOptions& latent = options.latent;
  check_latent(batch, latent);
  const RowSet rows(batch.target_rows,
                    options.with_collapse_monitors ? batch.context_rows : std::vector<std::int64_t>());
  const at::Device device = model.device();
  at::Tensor state_QD;
  switch (latent.target) {
    case TargetKind::kViews:
      // The second view learns too, and is compared as it is: the reference normalises nothing.
      state_QD = hidden_TD.index_select(0, rows.index(device));
      if (state_QD.scalar_type() != at::kDouble) state_QD = state_QD.to(at::kFloat);
      break;
    case TargetKind::kOnline:
      state_QD = objective::normalise_target(hidden_TD.detach().index_select(0, rows.index(device)));
      break;
    case TargetKind::kEma: {
      const at::NoGradGuard no_grad;
      GatheredWeights* const gathered = model.gathered() == nullptr ? nullptr : model.gathered()->target();
      if (gathered != nullptr) gathered->begin_forward();
      const model::Qwen3Weights weights =
          gathered == nullptr ? model::cast_weights(model.training().target_weights(), model.compute_dtype())
                              : gathered->weights();
      state_QD = objective::normalise_target(model::qwen3_forward_rows(
          weights, model.config(), batch.packed.trunk(), rows.ascending(), latent.target_layers, cancelled, gathered));
      if (gathered != nullptr) gathered->end_forward();
      break;
    }
  }
  Targets result{state_QD.index_select(0, rows.places_of(batch.target_rows, device)), {}};
  if (options.with_collapse_monitors) {
    result.context_state_MD = state_QD.detach().index_select(0, rows.places_of(batch.context_rows, device));
  }
  return result;
}

void add_next_token_loss(const WorldModelBatch& batch, const ContextStates& context, BatchLosses& losses) {
  losses.next_token =
      objective::next_token_loss(context.hidden_TD.index_select(0, batch.scored_rows), context.lm_head, batch.labels);
}

void add_latent_loss(WorldModel& model, const WorldModelBatch& batch, const ContextStates& context,
                     const Targets& targets, const LossOptions& options, BatchLosses& losses) {
  const LatentOptions& latent = options.latent;
  const at::Tensor predicted_MD = predict(model, batch, context.hidden_TD);
  losses.latent = objective::latent_loss(predicted_MD, targets.target_MD, latent.loss, latent.beta);
  losses.regulariser = objective::anti_collapse(latent.anti_collapse, {predicted_MD, options.seed, options.step});
  if (options.with_collapse_monitors) {
    losses.rows = {predicted_MD.detach(), targets.target_MD.detach(), targets.context_state_MD};
  }
}

LossSum::LossSum(std::span<const WorldModelBatch> batches, const LossOptions& options, const UpdateShare& share,
                 const std::atomic<bool>& cancelled)
    : options_(options), share_(share) {
  if (options.next_token_weight <= 0.0 && options.latent_weight <= 0.0) {
    throw Error("[step] one of nextTokenWeight and latentWeight must be above 0 but both are 0");
  }
  std::vector<double> counts(3);
  for (const WorldModelBatch& batch : batches) {
    if (batch.is_empty()) continue;
    counts[0] += 1.0;
    counts[1] += static_cast<double>(batch.labels.size(0));
    counts[2] += static_cast<double>(batch.predicted_rows.size(0));
  }
  // Whole numbers: their sum does not depend on its order.
  if (share.group != nullptr) {
    const at::Tensor all = share.group->gather(at::tensor(counts, memory::on_host(at::kDouble)), cancelled).sum(0);
    counts.assign(all.data_ptr<double>(), all.data_ptr<double>() + all.numel());
  }
  batches_ = counts[0];
  scored_ = counts[1];
  predicted_ = counts[2];
}

bool LossSum::predicts(const WorldModelBatch& batch) const {
  return options_.latent_weight > 0.0 && (predicted_ == 0.0 || !batch.target_rows.empty());
}

at::Tensor LossSum::Share::sum() const { return sum_of(next_token, latent); }

LossSum::Share LossSum::add(const WorldModelBatch& batch, const BatchLosses& losses) {
  // float64: the sum loses nothing of the losses.
  const auto add_to = [&](Sum sum, const at::Tensor& loss, double part) {
    shard_[sum] = sum_of(shard_[sum], loss.detach().to(at::kDouble) * part);
  };
  Share share;
  if (losses.next_token.defined()) {
    const double part = static_cast<double>(batch.labels.size(0)) / scored_;
    share.next_token = losses.next_token * (options_.next_token_weight * part);
    add_to(kNextToken, losses.next_token, part);
  }
  if (losses.latent.defined()) {
    const double part = static_cast<double>(batch.predicted_rows.size(0)) / predicted_;
    share.latent = losses.latent * (options_.latent_weight * part);
    add_to(kLatent, losses.latent, part);
    if (losses.regulariser.defined()) {
      share.latent = share.latent + losses.regulariser * (options_.latent_weight * (1.0 / batches_));
      add_to(kRegulariser, losses.regulariser, 1.0 / batches_);
    }
  }
  if (losses.rows) rows_.push_back(*losses.rows);
  return share;
}

void LossSum::end_shard() { sums_.push_back(std::exchange(shard_, {})); }

LossSum::ShardSums LossSum::over_shards(at::Device device, const std::atomic<bool>& cancelled) const {
  ShardSums all;
  if (share_.group == nullptr) {
    for (const ShardSums& shard : sums_) {
      for (std::size_t sum = 0; sum < kSums; ++sum) all[sum] = sum_of(all[sum], shard[sum]);
    }
    return all;
  }
  // In the order of the shards, whoever computed them.
  std::vector<double> own;
  for (const ShardSums& shard : sums_) {
    for (const at::Tensor& sum : memory::read_back({shard.begin(), shard.end()})) {
      own.push_back(sum.defined() ? *sum.const_data_ptr<double>() : 0.0);
    }
  }
  const at::Tensor rows = memory::upload(
      share_.group->gather_rows(at::tensor(own, memory::on_host(at::kDouble)).view({-1, kSums}), cancelled), device);
  for (std::int64_t shard = 0; shard < rows.size(0); ++shard) {
    for (std::size_t sum = 0; sum < kSums; ++sum) {
      all[sum] = sum_of(all[sum], rows[shard][static_cast<std::int64_t>(sum)]);
    }
  }
  return all;
}

LossNumbers LossSum::total(WorldModel& model, const std::atomic<bool>& cancelled) {
  const ShardSums sums = over_shards(model.device(), cancelled);
  LossNumbers result;
  if (options_.next_token_weight > 0.0) {
    result.next_token = sums[kNextToken];
    result.scored_tokens = static_cast<std::int64_t>(scored_);
    result.loss = result.next_token * options_.next_token_weight;
  }
  if (options_.latent_weight > 0.0) {
    result.latent = sums[kLatent];
    if (objective::has_anti_collapse(options_.latent.anti_collapse)) result.regulariser = sums[kRegulariser];
    result.loss = sum_of(result.loss, sum_of(result.latent, result.regulariser) * options_.latent_weight);
    if (options_.with_collapse_monitors) result.collapse = measure_monitors(model, cancelled);
  }
  return result;
}

std::vector<at::Tensor> LossSum::measure_monitors(WorldModel& model, const std::atomic<bool>& cancelled) const {
  const at::NoGradGuard no_grad;
  const auto all = [&](at::Tensor LatentRows::* part) {
    std::vector<at::Tensor> parts;
    for (const LatentRows& rows : rows_) parts.push_back(rows.*part);
    if (share_.group == nullptr) return parts.size() == 1 ? parts[0] : at::cat(parts);
    // A rank may have none.
    parts.push_back(at::empty({0, model.config().hidden_size}, at::TensorOptions(model.device()).dtype(at::kFloat)));
    return share_.group->gather_rows(at::cat(parts).to(at::kFloat), cancelled);
  };
  const at::Tensor prediction_MD = all(&LatentRows::prediction_MD);
  const at::Tensor target_MD = all(&LatentRows::target_MD);
  return objective::measure_collapse({.prediction_MD = prediction_MD.to(at::kDouble),
                                      .target_MD = target_MD.to(at::kDouble),
                                      .loss_target_MD = target_MD,
                                      .context_state_MD = all(&LatentRows::context_state_MD),
                                      .loss = options_.latent.loss,
                                      .beta = options_.latent.beta,
                                      .target_encoder_distance = target_distance(model, share_.group, cancelled)});
}

}  // namespace ehrjepa::train
