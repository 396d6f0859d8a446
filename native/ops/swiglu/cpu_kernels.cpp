// Compiled once for each instruction set (CMakeLists.txt, EHRJEPA_ISA).
#include "ops/swiglu/cpu_kernels.h"

#include "ops/vector_loop.h"

namespace ehrjepa::ops::swiglu_cpu {
namespace {

/// 1 + e^-x, so that x / it is silu(x) and 1 / it the sigmoid.
template <typename T, typename E>
[[gnu::always_inline]] inline Vector<E> denominator(Vector<E> x) {
  // Beyond these limits silu is 0 to every digit that matters, and e^-x would overflow.
  if constexpr (sizeof(T) == sizeof(Bf16)) {
    return 1.0F + exp2_of(smaller_of(broadcast(126.0F), x * -1.44269504F));
  } else {
    return static_cast<E>(1) + exp_of(smaller_of(broadcast(static_cast<E>(87)), -x));
  }
}

template <typename T, typename E>
void forward(const T* gate, const T* up, T* out, std::int64_t count) {
  for_vectors<E>(count, [&](const auto& at) {
    const Vector<E> g = at(gate);
    at(out, g / denominator<T, E>(g) * at(up));
  });
}

template <typename T, typename E>
void backward(const T* grad_out, const T* gate, const T* up, T* grad_gate, T* grad_up, std::int64_t count) {
  for_vectors<E>(count, [&](const auto& at) {
    const Vector<E> g = at(gate), s = static_cast<E>(1) / denominator<T, E>(g), upstream = at(grad_out) * s;
    at(grad_gate, upstream * at(up) * (static_cast<E>(1) + g * (static_cast<E>(1) - s)));
    at(grad_up, upstream * g);
  });
}

}  // namespace

extern const KernelSet<Kernels> EHRJEPA_KERNELS;  // that of a test is in no header
const KernelSet<Kernels> EHRJEPA_KERNELS = {{&forward<float, float>, &backward<float, float>},
                                            {&forward<Bf16, float>, &backward<Bf16, float>},
                                            {&forward<double, double>, &backward<double, double>}};

}  // namespace ehrjepa::ops::swiglu_cpu
