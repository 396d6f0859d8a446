#include <ATen/TensorOperators.h>
#include <ATen/ops/rsqrt.h>

#include "ops/rms_norm/rms_norm.h"

namespace ehrjepa::ops {

at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const at::Tensor rstd = at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps);
  return (wide * rstd).to(x.scalar_type()) * weight;
}

std::tuple<at::Tensor, at::Tensor> add_rms_norm_reference(const at::Tensor& x, const at::Tensor& delta,
                                                          const at::Tensor& weight, double eps) {
  const at::Tensor sum = x + delta;
  return {sum, rms_norm_reference(sum, weight, eps)};
}

}  // namespace ehrjepa::ops
