#include "ops/rms_norm/cpu.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <type_traits>

#include "ops/cpu_types.h"
#include "ops/rms_norm/cpu_rows.h"

namespace ehrjepa::ops {
namespace rms_norm_cpu {
namespace {

/// Sum of term(i) over a row in 16 interleaved partial sums: the compiler can vectorise it, and rounding errors grow
/// with size / 16 instead of size.
template <typename Sum, typename Term>
Sum row_sum(std::int64_t size, const Term& term) {
  constexpr std::int64_t lanes = 16;
  Sum partial[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) partial[lane] += term(i + lane);
  }
  for (std::int64_t lane = 0; i < size; ++i, ++lane) partial[lane] += term(i);
  for (std::int64_t width = lanes / 2; width > 0; width /= 2) {
    for (std::int64_t lane = 0; lane < width; ++lane) partial[lane] += partial[lane + width];
  }
  return partial[0];
}

template <typename T, typename Sum>
Sum forward_row_plain(const T* x, const T* weight, T* y, std::int64_t size, Sum eps) {
  const Sum squares = row_sum<Sum>(size, [x](std::int64_t i) { return widen(x[i]) * widen(x[i]); });
  const Sum rstd = 1 / std::sqrt(squares / static_cast<Sum>(size) + eps);
  for (std::int64_t i = 0; i < size; ++i) {
    const T normalised = narrow<T, Sum>(widen(x[i]) * rstd);
    y[i] = narrow<T, Sum>(widen(normalised) * widen(weight[i]));
  }
  return rstd;
}

template <typename T, typename Sum>
void backward_row_plain(const T* grad_out, const T* x, const T* weight, Sum rstd, T* grad_x, Sum* grad_weight,
                        std::int64_t size) {
  const Sum projection =
      row_sum<Sum>(size, [=](std::int64_t i) { return widen(grad_out[i]) * widen(weight[i]) * (widen(x[i]) * rstd); }) /
      static_cast<Sum>(size);  // mean of g n
  for (std::int64_t i = 0; i < size; ++i) {
    const Sum normalised = widen(x[i]) * rstd;
    const Sum gradient = widen(grad_out[i]);
    grad_weight[i] += gradient * widen(narrow<T, Sum>(normalised));
    grad_x[i] = narrow<T, Sum>(rstd * (gradient * widen(weight[i]) - normalised * projection));
  }
}

template <typename T, typename Sum>
ForwardRow<T, Sum> forward_row([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if constexpr (!std::is_same_v<T, double>) {
    if (isa == Isa::kAvx512) return &forward_row_avx512;
  }
#endif
  return &forward_row_plain<T, Sum>;
}

template <typename T, typename Sum>
BackwardRow<T, Sum> backward_row([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if constexpr (!std::is_same_v<T, double>) {
    if (isa == Isa::kAvx512) return &backward_row_avx512;
  }
#endif
  return &backward_row_plain<T, Sum>;
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x_TD, const at::Tensor& weight, double eps, Isa isa) {
  const std::int64_t rows = x_TD.size(0);
  const std::int64_t size = x_TD.size(1);
  const at::Tensor y_TD = at::empty_like(x_TD);
  const bool wide = x_TD.scalar_type() == at::kDouble;
  const at::Tensor rstd_T = at::empty({rows}, x_TD.options().dtype(wide ? at::kDouble : at::kFloat));
  with_types(x_TD.scalar_type(), [&](auto element, auto accumulator) {
    using T = decltype(element);
    using Sum = decltype(accumulator);
    const auto row = forward_row<T, Sum>(isa);
    at::parallel_for(0, rows, std::max<std::int64_t>(1, elements_per_task / std::max<std::int64_t>(1, size)),
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t t = begin; t < end; ++t) {
                         data_of<Sum>(rstd_T)[t] = row(data_of<T>(x_TD) + t * size, data_of<T>(weight),
                                                       data_of<T>(y_TD) + t * size, size, static_cast<Sum>(eps));
                       }
                     });
  });
  return {y_TD, rstd_T};
}

std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_out_TD, const at::Tensor& x_TD,
                                            const at::Tensor& weight, const at::Tensor& rstd_T, Isa isa) {
  const std::int64_t rows = x_TD.size(0);
  const std::int64_t size = x_TD.size(1);
  const at::Tensor grad_x_TD = at::empty_like(x_TD);
  // A fixed number of partial sums, not one per thread: the result does not depend on the number of threads.
  const std::int64_t parts = std::min<std::int64_t>(32, std::max<std::int64_t>(1, rows * size / elements_per_task));
  const at::Tensor partial_PD = at::zeros({parts, size}, rstd_T.options());
  with_types(x_TD.scalar_type(), [&](auto element, auto accumulator) {
    using T = decltype(element);
    using Sum = decltype(accumulator);
    const auto row = backward_row<T, Sum>(isa);
    at::parallel_for(0, parts, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t part = first; part < last; ++part) {
        for (std::int64_t t = part * rows / parts; t < (part + 1) * rows / parts; ++t) {
          row(data_of<T>(grad_out_TD) + t * size, data_of<T>(x_TD) + t * size, data_of<T>(weight),
              data_of<Sum>(rstd_T)[t], data_of<T>(grad_x_TD) + t * size, data_of<Sum>(partial_PD) + part * size, size);
        }
      }
    });
  });
  return {grad_x_TD, partial_PD.sum(0).to(weight.scalar_type())};
}

}  // namespace rms_norm_cpu

TORCH_LIBRARY_IMPL(ehrjepa, CPU, m) {
  m.impl("rms_norm_forward", [](const at::Tensor& x, const at::Tensor& weight, double eps) {
    return rms_norm_cpu::forward(x, weight, eps, best_isa());
  });
  m.impl("rms_norm_backward",
         [](const at::Tensor& grad_out, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rstd) {
           return rms_norm_cpu::backward(grad_out, x, weight, rstd, best_isa());
         });
}

}  // namespace ehrjepa::ops
