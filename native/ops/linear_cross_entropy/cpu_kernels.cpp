// Compiled once for each instruction set (CMakeLists.txt, EHRJEPA_ISA).
#include "ops/linear_cross_entropy/cpu_kernels.h"

#include "ops/simd.h"

namespace ehrjepa::ops::linear_cross_entropy_cpu {
namespace {

template <typename E>
[[gnu::always_inline]] inline E exp2_of_one(E x) {
  return exp2_of(broadcast(x))[0];
}

template <typename T, typename E>
E row(T* logits, std::int64_t size, std::int64_t label, E share) {
  constexpr std::int64_t width = lanes<E>;
  constexpr E log2_e = static_cast<E>(1.4426950408889634);
  const std::int64_t whole = size / width * width;
  Vector<E> largest = broadcast(-static_cast<E>(__builtin_huge_val()));
  for (std::int64_t i = 0; i < whole; i += width) {
    const Vector<E> values = load_wide(logits + i);
    largest = values > largest ? values : largest;
  }
  E maximum = largest_of<E>(largest);
  for (std::int64_t i = whole; i < size; ++i) maximum = widened(logits[i]) > maximum ? widened(logits[i]) : maximum;

  // Summed in pieces: a long row of small terms would lose them to a large sum.
  constexpr std::int64_t piece = 4096;
  double total = 0;
  for (std::int64_t begin = 0; begin < whole; begin += piece) {
    const std::int64_t end = begin + piece < whole ? begin + piece : whole;
    Vector<E> sum{};
    for (std::int64_t i = begin; i < end; i += width) sum += exp2_of((load_wide(logits + i) - maximum) * log2_e);
    total += static_cast<double>(sum_of<E>(sum));
  }
  for (std::int64_t i = whole; i < size; ++i) {
    total += static_cast<double>(exp2_of_one((widened(logits[i]) - maximum) * log2_e));
  }
  const E result = static_cast<E>(static_cast<double>(widened(logits[label]) - maximum) - __builtin_log(total));
  if (share == 0) return result;

  const E factor = static_cast<E>(static_cast<double>(share) / total);
  const E of_label = exp2_of_one((widened(logits[label]) - maximum) * log2_e) * factor - share;
  for (std::int64_t i = 0; i < whole; i += width) {
    store_narrow(logits + i, exp2_of((load_wide(logits + i) - maximum) * log2_e) * factor);
  }
  for (std::int64_t i = whole; i < size; ++i) {
    logits[i] = narrowed<T, E>(exp2_of_one((widened(logits[i]) - maximum) * log2_e) * factor);
  }
  logits[label] = narrowed<T, E>(of_label);
  return result;
}

}  // namespace

extern const KernelSet<Row> EHRJEPA_KERNELS;  // that of a test is in no header
const KernelSet<Row> EHRJEPA_KERNELS = {&row<float, float>, &row<Bf16, float>, &row<double, double>};

}  // namespace ehrjepa::ops::linear_cross_entropy_cpu
