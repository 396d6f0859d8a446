#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <functional>
#include <span>
#include <vector>

#include "contract/losses.h"
#include "train/batch.h"
#include "train/update_share.h"
#include "train/world_model.h"

namespace ehrjepa::train {

/// One update: forward, backward, clipped AdamW, momentum update of the target encoder. Both objectives share one
/// packed forward pass: the next-token loss reads the trunk, the latent loss the branches.
/// @param batches  micro-batches of one update, the same as that of one large batch; of `options.shards` where the
/// update has several, an equal number of each, and some may be empty.
/// @param group    the ranks that compute the other shards; every one of them makes the same call.
/// @param meanwhile  called when the device has been given the whole step, before the host waits for its numbers.
/// @throws Cancelled, or Error for a loss that is not finite; parameters, moments and target encoder are then as
/// before. With `update_in_backward` a gradient that is not finite is found when others have been applied: the model is
/// then of no more use, and says so when it is asked.
StepResult step(WorldModel& model, std::span<const WorldModelBatch> batches, const StepOptions& options,
                const std::atomic<bool>& cancelled, distributed::Group* group = nullptr,
                const std::function<void()>& meanwhile = {});

/// The losses of a batch, without gradients.
Losses losses(WorldModel& model, const WorldModelBatch& batch, const LossOptions& options,
              const std::atomic<bool>& cancelled);

/// Losses and the gradient of every trainable parameter, before clipping; undefined where a parameter has none.
struct Gradients {
  Losses losses;
  std::vector<at::Tensor> values;
};

/// The first two acts of a step.
/// @param with_dropout  of the adapters, as in training.
/// @param share         which shards of the update the batches are.
/// @return one gradient for each of `model.training().trainable`.
Gradients gradients(WorldModel& model, std::span<const WorldModelBatch> batches, const LossOptions& options,
                    const std::atomic<bool>& cancelled, bool with_dropout = false, const UpdateShare& share = {});

}  // namespace ehrjepa::train
