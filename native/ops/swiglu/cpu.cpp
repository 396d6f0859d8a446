#include "ops/swiglu/cpu.h"

#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/cpu_types.h"
#include "ops/swiglu/swiglu.h"

namespace ehrjepa::ops {
namespace swiglu_cpu {
namespace {

const KernelSet<Kernels>& best_set() {
  return best_of(plain_kernels, avx2_kernels, avx512_kernels, avx512_bf16_kernels);
}

}  // namespace

at::Tensor forward(const at::Tensor& gate, const at::Tensor& up, const KernelSet<Kernels>& set) {
  const at::Tensor out = at::empty_like(gate);
  with_types(gate.scalar_type(), [&](auto element, auto) {
    using T = decltype(element);
    const auto& kernels = kernels_of(element, set);
    at::parallel_for(0, gate.numel(), elements_per_task, [&](std::int64_t begin, std::int64_t end) {
      kernels.forward(data_of<T>(gate) + begin, data_of<T>(up) + begin, data_of<T>(out) + begin, end - begin);
    });
  });
  return out;
}

std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_out, const at::Tensor& gate, const at::Tensor& up,
                                            const KernelSet<Kernels>& set) {
  const at::Tensor grad_gate = at::empty_like(gate), grad_up = at::empty_like(up);
  with_types(gate.scalar_type(), [&](auto element, auto) {
    using T = decltype(element);
    const auto& kernels = kernels_of(element, set);
    at::parallel_for(0, gate.numel(), elements_per_task, [&](std::int64_t begin, std::int64_t end) {
      kernels.backward(data_of<T>(grad_out) + begin, data_of<T>(gate) + begin, data_of<T>(up) + begin,
                       data_of<T>(grad_gate) + begin, data_of<T>(grad_up) + begin, end - begin);
    });
  });
  return {grad_gate, grad_up};
}

}  // namespace swiglu_cpu

TORCH_LIBRARY_IMPL(ehrjepa, CPU, m) {
  m.impl("swiglu_forward", [](const at::Tensor& gate, const at::Tensor& up) {
    return swiglu_cpu::forward(gate, up, swiglu_cpu::best_set());
  });
  m.impl("swiglu_backward", [](const at::Tensor& grad_out, const at::Tensor& gate, const at::Tensor& up) {
    return swiglu_cpu::backward(grad_out, gate, up, swiglu_cpu::best_set());
  });
}

}  // namespace ehrjepa::ops
