#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <vector>

#include "train/leaves.h"
#include "train/loss_numbers.h"
#include "train/optimizer.h"
#include "train/world_model.h"

namespace ehrjepa::train {

/// Makes the update of each parameter as soon as the sum of its gradients over all ranks is known: at no time do the
/// gradients of all parameters exist. The bits are those of an update at the end, but where a gradient is not finite:
/// its parameter is left as it is, and others are not.
class UpdateInBackward {
 public:
  UpdateInBackward(WorldModel& model, UpdateOptions options);

  /// Before the backward pass. A loss that is not finite moves nothing.
  void begin(const LossNumbers& losses);
  /// Once for each trained parameter. @param gradient  undefined where no loss reached it, on the meta device where
  /// another rank makes its update.
  void apply(std::size_t parameter, const at::Tensor& gradient);
  /// Backward pass of a process on its own: applies all of them.
  /// @param leaves  in the order of the optimiser.
  void backward(const at::Tensor& loss, const Leaves& leaves);

  /// Whether parameters may no longer be those of before the step. Waits for the device.
  bool has_begun() const;
  /// Of the gradients, before clipping: one for each parameter, as `squares_of` gives them.
  const std::vector<at::Tensor>& squares() const { return squares_; }

 private:
  WorldModel& model_;
  Optimizer& optimizer_;
  const UpdateOptions options_;
  at::Tensor loss_, loss_scale_;
  std::vector<at::Tensor> squares_;
};

}  // namespace ehrjepa::train
