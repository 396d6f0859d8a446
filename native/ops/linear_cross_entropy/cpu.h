#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

#include "ops/linear_cross_entropy/cpu_kernels.h"

namespace ehrjepa::ops::linear_cross_entropy_cpu {

/// `linear_cross_entropy_forward` with the logits of `chunk` rows at a time: what the dispatcher calls with
/// `linear_cross_entropy_rows(R, V)` and the kernels of `best_isa()`.
std::tuple<at::Tensor, at::Tensor, at::Tensor> forward(const at::Tensor& hidden_RD, const at::Tensor& weight_VD,
                                                       const at::Tensor& labels_R, bool hidden_grad, bool weight_grad,
                                                       std::int64_t chunk, const KernelSet<Row>& set);

}  // namespace ehrjepa::ops::linear_cross_entropy_cpu
