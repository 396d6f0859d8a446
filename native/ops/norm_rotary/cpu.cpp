#include "ops/norm_rotary/cpu.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "ops/cpu_types.h"
#include "ops/norm_rotary/norm_rotary.h"

namespace ehrjepa::ops {
namespace norm_rotary_cpu {
namespace {

const KernelSet<Kernels>& best_set() {
  return best_of(plain_kernels, avx2_kernels, avx512_kernels, avx512_bf16_kernels);
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x_TNH, const at::Tensor& weight_H,
                                           const at::Tensor& cos_TH, const at::Tensor& sin_TH, double eps,
                                           const KernelSet<Kernels>& set) {
  const std::int64_t tokens = x_TNH.size(0), heads = x_TNH.size(1), size = x_TNH.size(2);
  const at::Tensor y_TNH = at::empty_like(x_TNH);
  const at::ScalarType wide = x_TNH.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor rstd_TN = at::empty({tokens, heads}, x_TNH.options().dtype(wide));
  with_types(x_TNH.scalar_type(), [&](auto element, auto accumulator) {
    using T = decltype(element);
    using E = decltype(accumulator);
    const auto token = kernels_of(element, set).forward;
    const T *const x = data_of<T>(x_TNH), *const weight = data_of<T>(weight_H);
    const T *const cos = data_of<T>(cos_TH), *const sin = data_of<T>(sin_TH);
    T* const y = data_of<T>(y_TNH);
    E* const rstd = data_of<E>(rstd_TN);
    const std::int64_t grain = std::max<std::int64_t>(1, elements_per_task / std::max<std::int64_t>(1, heads * size));
    at::parallel_for(0, tokens, grain, [&](std::int64_t begin, std::int64_t end) {
      std::vector<E> scratch(static_cast<std::size_t>(2 * size));
      for (std::int64_t t = begin; t < end; ++t) {
        const std::int64_t first = t * heads * size;
        token(x + first, weight, cos + t * size, sin + t * size, y + first, rstd + t * heads, scratch.data(), heads,
              size, static_cast<E>(eps));
      }
    });
  });
  return {y_TNH, rstd_TN};
}

std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_out_TNH, const at::Tensor& x_TNH,
                                            const at::Tensor& weight_H, const at::Tensor& cos_TH,
                                            const at::Tensor& sin_TH, const at::Tensor& rstd_TN,
                                            const KernelSet<Kernels>& set) {
  const std::int64_t tokens = x_TNH.size(0), heads = x_TNH.size(1), size = x_TNH.size(2);
  const at::Tensor grad_x_TNH = at::empty_like(x_TNH);
  // A fixed number of partial sums, not one per thread: the result does not depend on the number of threads. Many short
  // ones, since there are many more rows than elements of a head: rounding errors grow with the length of a sum.
  const std::int64_t most = std::max<std::int64_t>(1, std::min(tokens, tokens * heads * size / 2048));
  const std::int64_t parts = std::min<std::int64_t>(64, most);
  const at::Tensor partial_PH = at::zeros({parts, size}, rstd_TN.options());
  with_types(x_TNH.scalar_type(), [&](auto element, auto accumulator) {
    using T = decltype(element);
    using E = decltype(accumulator);
    const auto token = kernels_of(element, set).backward;
    const T *const grad_out = data_of<T>(grad_out_TNH), *const x = data_of<T>(x_TNH),
                   *const weight = data_of<T>(weight_H);
    const T *const cos = data_of<T>(cos_TH), *const sin = data_of<T>(sin_TH);
    const E* const rstd = data_of<E>(rstd_TN);
    T* const grad_x = data_of<T>(grad_x_TNH);
    E* const partial = data_of<E>(partial_PH);
    at::parallel_for(0, parts, 1, [&](std::int64_t first, std::int64_t last) {
      std::vector<E> scratch(static_cast<std::size_t>(4 * size));
      for (std::int64_t part = first; part < last; ++part) {
        for (std::int64_t t = part * tokens / parts; t < (part + 1) * tokens / parts; ++t) {
          const std::int64_t at = t * heads * size;
          token(grad_out + at, x + at, weight, cos + t * size, sin + t * size, rstd + t * heads, grad_x + at,
                partial + part * size, scratch.data(), heads, size);
        }
      }
    });
  });
  return {grad_x_TNH, partial_PH.sum(0).to(weight_H.scalar_type())};
}

}  // namespace norm_rotary_cpu

TORCH_LIBRARY_IMPL(ehrjepa, CPU, m) {
  m.impl("norm_rotary_forward",
         [](const at::Tensor& x, const at::Tensor& weight, const at::Tensor& cos, const at::Tensor& sin, double eps) {
           return norm_rotary_cpu::forward(x, weight, cos, sin, eps, norm_rotary_cpu::best_set());
         });
  m.impl("norm_rotary_backward", [](const at::Tensor& grad_out, const at::Tensor& x, const at::Tensor& weight,
                                    const at::Tensor& cos, const at::Tensor& sin, const at::Tensor& rstd) {
    return norm_rotary_cpu::backward(grad_out, x, weight, cos, sin, rstd, norm_rotary_cpu::best_set());
  });
}

}  // namespace ehrjepa::ops
