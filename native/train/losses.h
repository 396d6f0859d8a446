#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <atomic>
#include <optional>
#include <span>
#include <vector>

#include "contract/losses.h"
#include "model/lora.h"
#include "objective/collapse/monitors.h"
#include "train/batch.h"
#include "train/loss_numbers.h"
#include "train/update_share.h"
#include "train/world_model.h"

namespace ehrjepa::train {

/// States of the context encoder with their graph. T trunk rows, R branch rows.
struct ContextStates {
  at::Tensor hidden_TD;  ///< (T + R, D), or the trunk's alone when the latent loss is off
  at::Tensor lm_head;    ///< (V, D), in the compute dtype
};

/// One pass of the context encoder f over trunk and latent branches.
/// @param dropout  of the adapters; absent outside training.
ContextStates encode_context(WorldModel& model, const WorldModelBatch& batch, const LossOptions& options,
                             const std::optional<model::DropoutKey>& dropout, const std::atomic<bool>& cancelled);

/// What the latent loss predicts, M positions.
struct Targets {
  at::Tensor target_MD;         ///< float32
  at::Tensor context_state_MD;  ///< the same of the last context token of each; undefined without collapse monitors
};

/// The target encoder's states, layer-normalised and without gradient; or those of the encoder itself.
/// @param hidden_TD  the encoder's; the EMA target does not read it.
Targets encode_targets(WorldModel& model, const WorldModelBatch& batch, const at::Tensor& hidden_TD,
                       const LossOptions& options, const std::atomic<bool>& cancelled);

/// What the collapse monitors read of a batch, M positions: of several batches they read all rows together.
struct LatentRows {
  at::Tensor prediction_MD;
  at::Tensor target_MD;
  at::Tensor context_state_MD;
};

/// The losses of one batch: scalars with their graph, undefined where an objective is off.
struct BatchLosses {
  at::Tensor next_token;
  at::Tensor latent;               ///< the regression alone
  at::Tensor regulariser;          ///< weighted sum of the anti-collapse terms; undefined without
  std::optional<LatentRows> rows;  ///< when the collapse monitors are asked for
};

/// Next-token loss of the trunk's rows.
void add_next_token_loss(const WorldModelBatch& batch, const ContextStates& context, BatchLosses& losses);

/// Latent loss, anti-collapse terms and, on request, what the collapse monitors read, of the predictor's outputs.
void add_latent_loss(WorldModel& model, const WorldModelBatch& batch, const ContextStates& context,
                     const Targets& targets, const LossOptions& options, BatchLosses& losses);

/// The losses of an update: each a mean over all its micro-batches, shards and ranks together, whatever their sizes, so
/// that the update is that of one large batch. The anti-collapse terms are means over the micro-batches.
class LossSum {
 public:
  /// Counts what carries loss, on all ranks.
  /// @param batches  of this rank.
  LossSum(std::span<const WorldModelBatch> batches, const LossOptions& options, const UpdateShare& share,
          const std::atomic<bool>& cancelled);

  /// Whether a batch predicts a latent state, or none does: then it is told that one must.
  bool predicts(const WorldModelBatch& batch) const;

  /// What a micro-batch adds to the total, with its graph; undefined where an objective is off.
  struct Share {
    at::Tensor next_token;
    at::Tensor latent;  ///< with the anti-collapse terms

    at::Tensor sum() const;
  };
  Share add(const WorldModelBatch& batch, const BatchLosses& losses);
  /// After the last batch of each shard.
  void end_shard();

  /// The same on every rank.
  LossNumbers total(WorldModel& model, const std::atomic<bool>& cancelled);

 private:
  /// What is added up of each shard.
  enum Sum : std::size_t { kNextToken, kLatent, kRegulariser, kSums };
  /// Of one shard, () float64 each; undefined where nothing came.
  using ShardSums = std::array<at::Tensor, kSums>;

  ShardSums over_shards(at::Device device, const std::atomic<bool>& cancelled) const;
  std::vector<at::Tensor> measure_monitors(WorldModel& model, const std::atomic<bool>& cancelled) const;

  const LossOptions& options_;
  UpdateShare share_;
  double batches_ = 0.0, scored_ = 0.0, predicted_ = 0.0;
  ShardSums shard_;              ///< of the running shard
  std::vector<ShardSums> sums_;  ///< of all that ended
  std::vector<LatentRows> rows_;
};

}  // namespace ehrjepa::train
