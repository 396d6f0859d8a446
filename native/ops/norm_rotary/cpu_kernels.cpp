// Compiled once for each instruction set (CMakeLists.txt, EHRJEPA_ISA).
#include "ops/norm_rotary/cpu_kernels.h"

#include "ops/vector_loop.h"

namespace ehrjepa::ops::norm_rotary_cpu {
namespace {

template <typename T, typename E>
void forward(const T* x, const T* weight, const T* cos, const T* sin, T* y, E* rstd, E* scratch, std::int64_t heads,
             std::int64_t size, E eps) {
  const std::int64_t half = size / 2;
  // Rotation and weight in one, widened once for all heads: of a half by itself and by the other.
  E *const first_own = scratch, *const first_other = first_own + half;
  E *const second_own = first_other + half, *const second_other = second_own + half;
  for_vectors<E>(half, [&](const auto& at) {
    const Vector<E> w_first = at(weight), w_second = at(weight + half);
    at(first_own, w_first * at(cos));
    at(first_other, w_second * at(sin));
    at(second_own, w_second * at(cos + half));
    at(second_other, w_first * at(sin + half));
  });
  for (std::int64_t head = 0; head < heads; ++head, x += size, y += size) {
    const E squares = sum_over<E>(size, [&](const auto& at) { return at(x) * at(x); });
    const E scale = 1 / square_root(squares / static_cast<E>(size) + eps);
    for_vectors<E>(half, [&](const auto& at) {
      const Vector<E> a = at(x) * scale, b = at(x + half) * scale;
      at(y, a * at(first_own) - b * at(first_other));
      at(y + half, b * at(second_own) + a * at(second_other));
    });
    rstd[head] = scale;
  }
}

template <typename T, typename E>
void backward(const T* grad_out, const T* x, const T* weight, const T* cos, const T* sin, const E* rstd, T* grad_x,
              E* grad_weight, E* scratch, std::int64_t heads, std::int64_t size) {
  const std::int64_t half = size / 2;
  E *const wide_weight = scratch, *const wide_cos = wide_weight + size, *const wide_sin = wide_cos + size;
  E* const rotated_back = wide_sin + size;  // gradients of a head's halves before they were rotated
  for_vectors<E>(size, [&](const auto& at) {
    at(wide_weight, at(weight));
    at(wide_cos, at(cos));
    at(wide_sin, at(sin));
  });
  for (std::int64_t head = 0; head < heads; ++head, x += size, grad_x += size, grad_out += size) {
    const E products = sum_over<E>(half, [&](const auto& at) {
      const Vector<E> g_first = at(grad_out), g_second = at(grad_out + half);
      const Vector<E> first = g_first * at(wide_cos) + g_second * at(wide_sin + half);
      const Vector<E> second = g_second * at(wide_cos + half) - g_first * at(wide_sin);
      at(rotated_back, first);
      at(rotated_back + half, second);
      return first * at(wide_weight) * at(x) + second * at(wide_weight + half) * at(x + half);
    });
    const E scale = rstd[head];
    const E projection = products * scale / static_cast<E>(size);  // mean of h n
    for_vectors<E>(size, [&](const auto& at) {
      const Vector<E> gradient = at(rotated_back), normalised = at(x) * scale;
      at(grad_weight, at(grad_weight) + gradient * normalised);
      at(grad_x, scale * (gradient * at(wide_weight) - normalised * projection));
    });
  }
}

}  // namespace

extern const KernelSet<Kernels> EHRJEPA_KERNELS;  // that of a test is in no header
const KernelSet<Kernels> EHRJEPA_KERNELS = {{&forward<float, float>, &backward<float, float>},
                                            {&forward<Bf16, float>, &backward<Bf16, float>},
                                            {&forward<double, double>, &backward<double, double>}};

}  // namespace ehrjepa::ops::norm_rotary_cpu
