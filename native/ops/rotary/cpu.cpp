#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/cpu_types.h"
#include "ops/rotary/rotary.h"

namespace ehrjepa::ops {
namespace {

/// One head of H = 2 half elements. `sign` is 1 forward and -1 backward.
template <typename T, typename Sum>
void rotate_head(const T* x, const T* cos, const T* sin, T* y, std::int64_t half, Sum sign) {
  const auto round = [](Sum value) { return widen(narrow<T, Sum>(value)); };
  for (std::int64_t i = 0; i < half; ++i) {
    const Sum a = widen(x[i]), b = widen(x[half + i]);
    // Backward multiplies before it rotates: each half of the gradient meets the sine of its own place.
    const Sum sin_of_b = widen(sign > 0 ? sin[i] : sin[half + i]);
    const Sum sin_of_a = widen(sign > 0 ? sin[half + i] : sin[i]);
    y[i] = narrow<T, Sum>(round(a * widen(cos[i])) - sign * round(b * sin_of_b));
    y[half + i] = narrow<T, Sum>(round(b * widen(cos[half + i])) + sign * round(a * sin_of_a));
  }
}

at::Tensor rotary_cpu(const at::Tensor& x_TNH, const at::Tensor& cos_TH, const at::Tensor& sin_TH, bool backward) {
  const std::int64_t heads = x_TNH.size(1), size = x_TNH.size(2);
  const at::Tensor y_TNH = at::empty_like(x_TNH);
  with_types(x_TNH.scalar_type(), [&](auto element, auto accumulator) {
    using T = decltype(element);
    using Sum = decltype(accumulator);
    const std::int64_t grain = std::max<std::int64_t>(1, elements_per_task / std::max<std::int64_t>(1, heads * size));
    at::parallel_for(0, x_TNH.size(0), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin * heads; row < end * heads; ++row) {
        const std::int64_t t = row / heads;
        rotate_head<T, Sum>(data_of<T>(x_TNH) + row * size, data_of<T>(cos_TH) + t * size,
                            data_of<T>(sin_TH) + t * size, data_of<T>(y_TNH) + row * size, size / 2,
                            backward ? Sum{-1} : Sum{1});
      }
    });
  });
  return y_TNH;
}

}  // namespace

TORCH_LIBRARY_IMPL(ehrjepa, CPU, m) { m.impl("rotary", &rotary_cpu); }

}  // namespace ehrjepa::ops
