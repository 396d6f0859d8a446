// Compiled once for each instruction set (CMakeLists.txt, EHRJEPA_ISA).
#include "ops/rms_norm/cpu_kernels.h"

#include "ops/vector_loop.h"

namespace ehrjepa::ops::rms_norm_cpu {
namespace {

/// y and rstd of every row of `from`, whose values `value(row, at)` gives before they are read there. The squares of a
/// row are summed in the loop that writes the row before it.
template <typename T, typename E, typename Value>
[[gnu::always_inline]] inline void normalise(const Value& value, const T* from, const T* weight, T* y, E* rstd,
                                             std::int64_t rows, std::int64_t size, E eps) {
  if (rows == 0) return;
  const auto square = [&](std::int64_t row, const auto& at) {
    const Vector<E> one = value(row, at);
    return one * one;
  };
  E squares = sum_over<E>(size, [&](const auto& at) { return square(0, at); });
  for (std::int64_t row = 0; row < rows; ++row, from += size, y += size) {
    const E scale = rstd[row] = 1 / square_root(squares / static_cast<E>(size) + eps);
    // Behind the last row that row again, for nothing: in a loop of its own it might be rounded in another way.
    const std::int64_t next = row + 1 < rows ? row + 1 : row;
    squares = sum_over<E>(size, [&](const auto& at) {
      const Vector<E> term = square(next, at);
      at(y, rounded_to<T>(at(from) * scale) * at(weight));
      return term;
    });
  }
}

template <typename T, typename E>
void forward(const T* x, const T* weight, T* y, E* rstd, std::int64_t rows, std::int64_t size, E eps) {
  normalise([&](std::int64_t row, const auto& at) { return at(x + row * size); }, x, weight, y, rstd, rows, size, eps);
}

template <typename T, typename E>
void add_forward(const T* x, const T* delta, const T* weight, T* sum, T* y, E* rstd, std::int64_t rows,
                 std::int64_t size, E eps) {
  const auto add = [&](std::int64_t row, const auto& at) {
    const Vector<E> value = rounded_to<T>(at(x + row * size) + at(delta + row * size));
    at(sum + row * size, value);
    return value;
  };
  normalise(add, sum, weight, y, rstd, rows, size, eps);
}

template <typename T, typename E>
void backward(const T* grad_out, const T* grad_sum, const T* x, const T* weight, const E* rstd, T* grad_x,
              E* grad_weight, std::int64_t rows, std::int64_t size) {
  for (std::int64_t row = 0; row < rows; ++row, grad_out += size, x += size, grad_x += size) {
    const E scale = rstd[row];
    const E products = sum_over<E>(size, [&](const auto& at) { return at(grad_out) * at(weight) * (at(x) * scale); });
    const E projection = products / static_cast<E>(size);  // mean of g n
    for_vectors<E>(size, [&](const auto& at) {
      const Vector<E> normalised = at(x) * scale, gradient = at(grad_out);
      at(grad_weight, at(grad_weight) + gradient * rounded_to<T>(normalised));
      const Vector<E> own = scale * (gradient * at(weight) - normalised * projection);
      at(grad_x, grad_sum == nullptr ? own : own + at(grad_sum + row * size));
    });
  }
}

}  // namespace

extern const KernelSet<Kernels> EHRJEPA_KERNELS;  // that of a test is in no header
const KernelSet<Kernels> EHRJEPA_KERNELS = {
    {&forward<float, float>, &add_forward<float, float>, &backward<float, float>},
    {&forward<Bf16, float>, &add_forward<Bf16, float>, &backward<Bf16, float>},
    {&forward<double, double>, &add_forward<double, double>, &backward<double, double>}};

}  // namespace ehrjepa::ops::rms_norm_cpu
