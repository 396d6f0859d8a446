#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "model/parameters.h"
#include "train/optimizer.h"

namespace ehrjepa::train {

/// Backward pass of a loss in which each parameter is updated as soon as its gradient is whole, and the gradient freed:
/// at no time do the gradients of all parameters exist.
/// @param parameters  leaves, in the order of the optimiser.
/// @return global L2 norm of the gradients, before clipping: () float64. Not finite: a parameter whose gradient was not
/// was left as it is, others were updated.
at::Tensor update_in_backward(const at::Tensor& loss, const std::vector<model::NamedTensor>& parameters,
                              Optimizer& optimizer, const UpdateOptions& options);

}  // namespace ehrjepa::train
