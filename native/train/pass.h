#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "contract/losses.h"
#include "train/batch.h"
#include "train/loss_numbers.h"
#include "train/losses.h"
#include "train/update_in_backward.h"
#include "train/update_share.h"
#include "train/world_model.h"

namespace ehrjepa::train {

/// Context, target and losses of one batch.
/// @param predicts  whether it carries a latent loss.
BatchLosses forward(WorldModel& model, const WorldModelBatch& batch, LossOptions options, bool predicts,
                    bool with_dropout, const std::atomic<bool>& cancelled);

/// The batches of an update, by shards.
class Batches {
 public:
  Batches(std::span<const WorldModelBatch> batches, const ShardRange& shards)
      : batches_(batches), shards_(shards), each_(batches.size() / static_cast<std::size_t>(shards.count)) {}

  /// Of each shard.
  std::size_t each() const { return each_; }
  /// Options of one of this process: draws of its own, and the monitors read once.
  /// @param number  from 0.
  LossOptions options_of(const LossOptions& options, std::size_t number) const;

 private:
  std::span<const WorldModelBatch> batches_;
  ShardRange shards_;
  std::size_t each_;
};

/// What forward and backward passes make, where the model computes.
struct Pass {
  LossNumbers losses;
  std::vector<at::Tensor> gradients;  ///< one for each trained parameter; none where they were applied
};

/// Forward and backward passes of an update, over all its batches, shards and ranks.
/// @param updates  where each rank computes one batch; null: the gradients are kept.
Pass pass(WorldModel& model, std::span<const WorldModelBatch> batches, const LossOptions& options, bool with_dropout,
          const UpdateShare& share, const std::atomic<bool>& cancelled, UpdateInBackward* updates = nullptr);

}  // namespace ehrjepa::train
