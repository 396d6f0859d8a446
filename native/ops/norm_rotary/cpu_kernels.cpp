// Compiled once for each instruction set (CMakeLists.txt, EHRJEPA_ISA).
#include "ops/norm_rotary/cpu_kernels.h"

#include "ops/vector_loop.h"

namespace ehrjepa::ops::norm_rotary_cpu {
namespace {

template <typename T, typename E>
E forward(const T* x, const T* weight, const T* cos, const T* sin, T* y, std::int64_t size, E eps) {
  const std::int64_t half = size / 2;
  const E squares = sum_over<E>(size, [&](const auto& at) { return at(x) * at(x); });
  const E rstd = 1 / square_root(squares / static_cast<E>(size) + eps);
  for_vectors<E>(half, [&](const auto& at) {
    const Vector<E> a = at(x) * rstd * at(weight), b = at(x + half) * rstd * at(weight + half);
    at(y, a * at(cos) - b * at(sin));
    at(y + half, b * at(cos + half) + a * at(sin + half));
  });
  return rstd;
}

template <typename T, typename E>
void backward(const T* grad_out, const T* x, const T* weight, const T* cos, const T* sin, E rstd, T* grad_x,
              E* grad_weight, std::int64_t size) {
  const std::int64_t half = size / 2;
  // Gradients of the two halves before they were rotated.
  const auto first = [&](const auto& at) { return at(grad_out) * at(cos) + at(grad_out + half) * at(sin + half); };
  const auto second = [&](const auto& at) { return at(grad_out + half) * at(cos + half) - at(grad_out) * at(sin); };
  const E products = sum_over<E>(half, [&](const auto& at) {
    return first(at) * at(weight) * at(x) + second(at) * at(weight + half) * at(x + half);
  });
  const E projection = products * rstd / static_cast<E>(size);  // mean of h n
  for_vectors<E>(half, [&](const auto& at) {
    const Vector<E> g_first = first(at), g_second = second(at);
    const Vector<E> n_first = at(x) * rstd, n_second = at(x + half) * rstd;
    at(grad_weight, at(grad_weight) + g_first * n_first);
    at(grad_weight + half, at(grad_weight + half) + g_second * n_second);
    at(grad_x, rstd * (g_first * at(weight) - n_first * projection));
    at(grad_x + half, rstd * (g_second * at(weight + half) - n_second * projection));
  });
}

}  // namespace

extern const KernelSet<Kernels> EHRJEPA_KERNELS;  // that of a test is in no header
const KernelSet<Kernels> EHRJEPA_KERNELS = {{&forward<float, float>, &backward<float, float>},
                                            {&forward<Bf16, float>, &backward<Bf16, float>},
                                            {&forward<double, double>, &backward<double, double>}};

}  // namespace ehrjepa::ops::norm_rotary_cpu
