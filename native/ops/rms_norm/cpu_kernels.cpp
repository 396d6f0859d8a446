// Compiled once for each instruction set (CMakeLists.txt, EHRJEPA_ISA).
#include "ops/rms_norm/cpu_kernels.h"

#include "ops/vector_loop.h"

namespace ehrjepa::ops::rms_norm_cpu {
namespace {

/// For each row `finish(row, statistic, at)` at every place. The statistic of a row is made of the sum of
/// `term(row, at)` over its places, which is taken in the same loop as the row before it is finished.
template <typename E, typename Term, typename Made, typename Finish>
[[gnu::always_inline]] inline void for_rows(std::int64_t rows, std::int64_t size, const Term& term, const Made& made,
                                            const Finish& finish) {
  if (rows == 0) return;
  E sum = sum_over<E>(size, [&](const auto& at) { return term(0, at); });
  for (std::int64_t row = 0; row < rows; ++row) {
    const E statistic = made(sum, row);
    // Behind the last row that row again, for nothing: in a loop of its own it might be rounded in another way.
    const std::int64_t next = row + 1 < rows ? row + 1 : row;
    sum = sum_over<E>(size, [&](const auto& at) {
      const Vector<E> value = term(next, at);
      finish(row, statistic, at);
      return value;
    });
  }
}

template <typename T, typename E>
void forward(const T* x, const T* weight, T* y, E* rstd, std::int64_t rows, std::int64_t size, E eps) {
  for_rows<E>(
      rows, size, [&](std::int64_t row, const auto& at) { return at(x + row * size) * at(x + row * size); },
      [&](E squares, std::int64_t row) { return rstd[row] = 1 / square_root(squares / static_cast<E>(size) + eps); },
      [&](std::int64_t row, E scale, const auto& at) {
        at(y + row * size, rounded_to<T>(at(x + row * size) * scale) * at(weight));
      });
}

template <typename T, typename E>
void add_forward(const T* x, const T* delta, const T* weight, T* sum, T* y, E* rstd, std::int64_t rows,
                 std::int64_t size, E eps) {
  for_rows<E>(
      rows, size,
      [&](std::int64_t row, const auto& at) {
        const Vector<E> value = rounded_to<T>(at(x + row * size) + at(delta + row * size));
        at(sum + row * size, value);
        return value * value;
      },
      [&](E squares, std::int64_t row) { return rstd[row] = 1 / square_root(squares / static_cast<E>(size) + eps); },
      [&](std::int64_t row, E scale, const auto& at) {
        at(y + row * size, rounded_to<T>(at(sum + row * size) * scale) * at(weight));
      });
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
