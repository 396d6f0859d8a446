// Compiled once for each instruction set (CMakeLists.txt, EHRJEPA_ISA).
#include "ops/rms_norm/cpu_kernels.h"

#include "ops/vector_loop.h"

namespace ehrjepa::ops::rms_norm_cpu {
namespace {

template <typename T, typename E>
[[gnu::always_inline]] inline E normalise(E squares, const T* x, const T* weight, T* y, std::int64_t size, E eps) {
  const E rstd = 1 / square_root(squares / static_cast<E>(size) + eps);
  for_vectors<E>(size, [&](const auto& at) { at(y, rounded_to<T>(at(x) * rstd) * at(weight)); });
  return rstd;
}

template <typename T, typename E>
E forward(const T* x, const T* weight, T* y, std::int64_t size, E eps) {
  const E squares = sum_over<E>(size, [&](const auto& at) { return at(x) * at(x); });
  return normalise(squares, x, weight, y, size, eps);
}

template <typename T, typename E>
E add_forward(const T* x, const T* delta, const T* weight, T* sum, T* y, std::int64_t size, E eps) {
  const E squares = sum_over<E>(size, [&](const auto& at) {
    const Vector<E> value = rounded_to<T>(at(x) + at(delta));
    at(sum, value);
    return value * value;
  });
  return normalise(squares, sum, weight, y, size, eps);
}

template <typename T, typename E>
void backward(const T* grad_out, const T* grad_sum, const T* x, const T* weight, E rstd, T* grad_x, E* grad_weight,
              std::int64_t size) {
  const E products = sum_over<E>(size, [&](const auto& at) { return at(grad_out) * at(weight) * (at(x) * rstd); });
  const E projection = products / static_cast<E>(size);  // mean of g n
  for_vectors<E>(size, [&](const auto& at) {
    const Vector<E> normalised = at(x) * rstd, gradient = at(grad_out);
    at(grad_weight, at(grad_weight) + gradient * rounded_to<T>(normalised));
    const Vector<E> own = rstd * (gradient * at(weight) - normalised * projection);
    at(grad_x, grad_sum == nullptr ? own : own + at(grad_sum));
  });
}

}  // namespace

extern const KernelSet<Kernels> EHRJEPA_KERNELS;  // that of a test is in no header
const KernelSet<Kernels> EHRJEPA_KERNELS = {
    {&forward<float, float>, &add_forward<float, float>, &backward<float, float>},
    {&forward<Bf16, float>, &add_forward<Bf16, float>, &backward<Bf16, float>},
    {&forward<double, double>, &add_forward<double, double>, &backward<double, double>}};

}  // namespace ehrjepa::ops::rms_norm_cpu
