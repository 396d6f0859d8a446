#include "ops/linear_cross_entropy/cpu.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/cpu_types.h"
#include "ops/linear/products.h"
#include "ops/linear_cross_entropy/linear_cross_entropy.h"

namespace ehrjepa::ops {
namespace linear_cross_entropy_cpu {
namespace {

const KernelSet<Row>& best_set() { return best_of(plain_kernels, avx2_kernels, avx512_kernels, avx512_bf16_kernels); }

/// Logarithms of the labels' probabilities; the logits become gradients when `share` is not 0.
void softmax_rows(const at::Tensor& logits_CV, const at::Tensor& labels_C, const at::Tensor& log_probabilities_C,
                  double share, const KernelSet<Row>& set) {
  const std::int64_t size = logits_CV.size(1);
  with_types(logits_CV.scalar_type(), [&](auto element, auto accumulator) {
    using T = decltype(element);
    using E = decltype(accumulator);
    const Row<T, E> row = kernels_of(element, set);
    T* const logits = data_of<T>(logits_CV);
    const std::int64_t* const labels = data_of<std::int64_t>(labels_C);
    E* const log_probabilities = data_of<E>(log_probabilities_C);
    at::parallel_for(0, logits_CV.size(0), std::max<std::int64_t>(1, elements_per_task / size),
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t r = begin; r < end; ++r) {
                         log_probabilities[r] = row(logits + r * size, size, labels[r], static_cast<E>(share));
                       }
                     });
  });
}

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor> forward(const at::Tensor& hidden_RD, const at::Tensor& weight_VD,
                                                       const at::Tensor& labels_R, bool hidden_grad, bool weight_grad,
                                                       std::int64_t chunk, const KernelSet<Row>& set) {
  const std::int64_t rows = hidden_RD.size(0);
  const at::ScalarType wide = hidden_RD.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  if (rows > 0) {
    const auto lowest = labels_R.min().item<std::int64_t>(), highest = labels_R.max().item<std::int64_t>();
    TORCH_CHECK_VALUE(lowest >= 0 && highest < weight_VD.size(0), "[linear_cross_entropy] labels must lie in [0, ",
                      weight_VD.size(0), ") but one is ", lowest < 0 ? lowest : highest);
  }
  const at::Tensor log_probabilities_R = at::empty({rows}, hidden_RD.options().dtype(wide));
  at::Tensor grad_hidden_RD, grad_weight_VD;
  if (hidden_grad) grad_hidden_RD = at::empty_like(hidden_RD);
  for (std::int64_t begin = 0; begin < rows; begin += chunk) {
    const std::int64_t count = std::min(chunk, rows - begin);
    const at::Tensor hidden_CD = hidden_RD.narrow(0, begin, count);
    const at::Tensor values_CV = linear_product(hidden_CD, weight_VD);
    softmax_rows(values_CV, labels_R.narrow(0, begin, count), log_probabilities_R.narrow(0, begin, count),
                 hidden_grad || weight_grad ? 1.0 / static_cast<double>(rows) : 0.0, set);
    if (hidden_grad) grad_hidden_RD.narrow(0, begin, count).copy_(linear_input_gradient(values_CV, weight_VD));
    if (weight_grad) grad_weight_VD = linear_weight_gradient(values_CV, hidden_CD, grad_weight_VD);
  }
  return {log_probabilities_R, grad_hidden_RD, grad_weight_VD};
}

}  // namespace linear_cross_entropy_cpu

TORCH_LIBRARY_IMPL(ehrjepa, CPU, m) {
  m.impl("linear_cross_entropy_forward", [](const at::Tensor& hidden, const at::Tensor& weight,
                                            const at::Tensor& labels, bool hidden_grad, bool weight_grad) {
    return linear_cross_entropy_cpu::forward(hidden, weight, labels, hidden_grad, weight_grad,
                                             linear_cross_entropy_rows(hidden.size(0), weight.size(0)),
                                             linear_cross_entropy_cpu::best_set());
  });
}

}  // namespace ehrjepa::ops
