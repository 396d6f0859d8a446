#include "ops/linear/wide.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace ehrjepa::ops::linear_wide {
namespace {

/// Elements of what is widened at once: 32 MiB, whatever the size of the vocabulary.
constexpr std::int64_t widened_elements = std::int64_t{8} << 20;

/// Calls `run(first, count)` for runs of outputs.
/// @param width  elements that are widened for each output.
template <typename Run>
void for_outputs(std::int64_t outputs, std::int64_t width, const Run& run) {
  const std::int64_t most = std::max<std::int64_t>(1, widened_elements / std::max<std::int64_t>(1, width));
  for (std::int64_t first = 0; first < outputs; first += most) run(first, std::min(most, outputs - first));
}

at::Tensor widened(const at::Tensor& x) { return x.to(at::kFloat); }

}  // namespace

at::Tensor product(const at::Tensor& x_TI, const at::Tensor& weight_OI, const std::optional<at::Tensor>& bias_O) {
  const std::int64_t outputs = weight_OI.size(0), tokens = x_TI.size(0);
  const at::Tensor wide_TI = widened(x_TI);
  const at::Tensor result_TO = at::empty({tokens, outputs}, x_TI.options());
  for_outputs(outputs, std::max(tokens, x_TI.size(1)), [&](std::int64_t first, std::int64_t count) {
    at::Tensor part_TP = at::mm(wide_TI, widened(weight_OI.narrow(0, first, count)).t());
    if (bias_O.has_value()) part_TP += widened(bias_O->narrow(0, first, count));
    result_TO.narrow(1, first, count).copy_(part_TP);
  });
  return result_TO;
}

at::Tensor input_gradient(const at::Tensor& grad_TO, const at::Tensor& weight_OI) {
  at::Tensor sum_TI;
  for_outputs(weight_OI.size(0), std::max(grad_TO.size(0), weight_OI.size(1)),
              [&](std::int64_t first, std::int64_t count) {
                const at::Tensor wide_TP = widened(grad_TO.narrow(1, first, count));
                const at::Tensor wide_PI = widened(weight_OI.narrow(0, first, count));
                if (sum_TI.defined()) {
                  sum_TI.addmm_(wide_TP, wide_PI);
                } else {
                  sum_TI = at::mm(wide_TP, wide_PI);
                }
              });
  if (!sum_TI.defined()) sum_TI = at::zeros({grad_TO.size(0), weight_OI.size(1)}, grad_TO.options().dtype(at::kFloat));
  return sum_TI.to(grad_TO.scalar_type());
}

at::Tensor weight_gradient(const at::Tensor& grad_TO, const at::Tensor& x_TI, const at::Tensor& sum_OI) {
  const std::int64_t outputs = grad_TO.size(1);
  const at::Tensor wide_TI = widened(x_TI);
  const at::Tensor result_OI = sum_OI.defined() ? sum_OI : at::empty({outputs, x_TI.size(1)}, x_TI.options());
  for_outputs(outputs, std::max(grad_TO.size(0), x_TI.size(1)), [&](std::int64_t first, std::int64_t count) {
    const at::Tensor part_PI = at::mm(widened(grad_TO.narrow(1, first, count)).t(), wide_TI);
    const at::Tensor into_PI = result_OI.narrow(0, first, count);
    if (sum_OI.defined()) {
      into_PI.copy_(part_PI.add_(widened(into_PI)));
    } else {
      into_PI.copy_(part_PI);
    }
  });
  return result_OI;
}

}  // namespace ehrjepa::ops::linear_wide
