#include "ops/rms_norm/cpu.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/cpu_types.h"
#include "ops/rms_norm/rms_norm.h"

namespace ehrjepa::ops {
namespace rms_norm_cpu {
namespace {

const KernelSet<Kernels>& best_set() {
  return best_of(plain_kernels, avx2_kernels, avx512_kernels, avx512_bf16_kernels);
}

at::Tensor empty_rstd(const at::Tensor& x_TD) {
  return at::empty({x_TD.size(0)}, x_TD.options().dtype(x_TD.scalar_type() == at::kDouble ? at::kDouble : at::kFloat));
}

/// Calls `run(first row, rows)` for runs of rows, many to a task.
template <typename Run>
void for_runs(const at::Tensor& x_TD, const Run& run) {
  at::parallel_for(0, x_TD.size(0), std::max<std::int64_t>(1, elements_per_task / x_TD.size(1)),
                   [&](std::int64_t begin, std::int64_t end) { run(begin, end - begin); });
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x_TD, const at::Tensor& weight, double eps,
                                           const KernelSet<Kernels>& set) {
  const std::int64_t size = x_TD.size(1);
  const at::Tensor y_TD = at::empty_like(x_TD), rstd_T = empty_rstd(x_TD);
  with_types(x_TD.scalar_type(), [&](auto element, auto accumulator) {
    using T = decltype(element);
    using E = decltype(accumulator);
    const auto rows_of = kernels_of(element, set).forward;
    const T *const x = data_of<T>(x_TD), *const scale = data_of<T>(weight);
    T* const y = data_of<T>(y_TD);
    E* const rstd = data_of<E>(rstd_T);
    for_runs(x_TD, [&](std::int64_t first, std::int64_t rows) {
      const std::int64_t at = first * size;
      rows_of(x + at, scale, y + at, rstd + first, rows, size, static_cast<E>(eps));
    });
  });
  return {y_TD, rstd_T};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> add_forward(const at::Tensor& x_TD, const at::Tensor& delta_TD,
                                                           const at::Tensor& weight, double eps,
                                                           const KernelSet<Kernels>& set) {
  const std::int64_t size = x_TD.size(1);
  const at::Tensor sum_TD = at::empty_like(x_TD), y_TD = at::empty_like(x_TD), rstd_T = empty_rstd(x_TD);
  with_types(x_TD.scalar_type(), [&](auto element, auto accumulator) {
    using T = decltype(element);
    using E = decltype(accumulator);
    const auto rows_of = kernels_of(element, set).add_forward;
    const T *const x = data_of<T>(x_TD), *const delta = data_of<T>(delta_TD), *const scale = data_of<T>(weight);
    T *const sum = data_of<T>(sum_TD), *const y = data_of<T>(y_TD);
    E* const rstd = data_of<E>(rstd_T);
    for_runs(x_TD, [&](std::int64_t first, std::int64_t rows) {
      const std::int64_t at = first * size;
      rows_of(x + at, delta + at, scale, sum + at, y + at, rstd + first, rows, size, static_cast<E>(eps));
    });
  });
  return {sum_TD, y_TD, rstd_T};
}

std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_out_TD, const at::Tensor& grad_sum_TD,
                                            const at::Tensor& x_TD, const at::Tensor& weight, const at::Tensor& rstd_T,
                                            const KernelSet<Kernels>& set) {
  const std::int64_t rows = x_TD.size(0);
  const std::int64_t size = x_TD.size(1);
  const at::Tensor grad_x_TD = at::empty_like(x_TD);
  // A fixed number of partial sums, not one per thread: the result does not depend on the number of threads.
  const std::int64_t parts = std::min<std::int64_t>(32, std::max<std::int64_t>(1, rows * size / elements_per_task));
  const at::Tensor partial_PD = at::zeros({parts, size}, rstd_T.options());
  with_types(x_TD.scalar_type(), [&](auto element, auto accumulator) {
    using T = decltype(element);
    using E = decltype(accumulator);
    const auto rows_of = kernels_of(element, set).backward;
    const T *const grad_out = data_of<T>(grad_out_TD), *const x = data_of<T>(x_TD), *const scale = data_of<T>(weight);
    const T* const grad_sum = grad_sum_TD.defined() ? data_of<T>(grad_sum_TD) : nullptr;
    const E* const rstd = data_of<E>(rstd_T);
    T* const grad_x = data_of<T>(grad_x_TD);
    E* const partial = data_of<E>(partial_PD);
    at::parallel_for(0, parts, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t part = first; part < last; ++part) {
        const std::int64_t begin = part * rows / parts, end = (part + 1) * rows / parts, at = begin * size;
        rows_of(grad_out + at, grad_sum == nullptr ? nullptr : grad_sum + at, x + at, scale, rstd + begin, grad_x + at,
                partial + part * size, end - begin, size);
      }
    });
  });
  return {grad_x_TD, partial_PD.sum(0).to(weight.scalar_type())};
}

}  // namespace rms_norm_cpu

TORCH_LIBRARY_IMPL(ehrjepa, CPU, m) {
  m.impl("rms_norm_forward", [](const at::Tensor& x, const at::Tensor& weight, double eps) {
    return rms_norm_cpu::forward(x, weight, eps, rms_norm_cpu::best_set());
  });
  m.impl("rms_norm_backward",
         [](const at::Tensor& grad_out, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rstd) {
           return rms_norm_cpu::backward(grad_out, {}, x, weight, rstd, rms_norm_cpu::best_set());
         });
  m.impl("add_rms_norm_forward",
         [](const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps) {
           return rms_norm_cpu::add_forward(x, delta, weight, eps, rms_norm_cpu::best_set());
         });
  m.impl("add_rms_norm_backward", [](const at::Tensor& grad_out, const at::Tensor& grad_sum, const at::Tensor& sum,
                                     const at::Tensor& weight, const at::Tensor& rstd) {
    return rms_norm_cpu::backward(grad_out, grad_sum, sum, weight, rstd, rms_norm_cpu::best_set());
  });
}

}  // namespace ehrjepa::ops
