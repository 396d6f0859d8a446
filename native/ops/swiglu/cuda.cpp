#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include <tuple>

#include "ops/cuda/tensors.h"
#include "ops/swiglu/kernel.h"

namespace ehrjepa::ops {
namespace {

at::Tensor forward(const at::Tensor& gate, const at::Tensor& up) {
  const c10::cuda::CUDAGuard guard(gate.device());
  const at::Tensor out = at::empty_like(gate);
  check_launch("swiglu", kernels::launch_swiglu_forward({.gate = gate.const_data_ptr(),
                                                         .up = up.const_data_ptr(),
                                                         .out = out.data_ptr(),
                                                         .count = gate.numel(),
                                                         .dtype = kernel_dtype("swiglu", gate)},
                                                        current_stream()));
  return out;
}

std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_out, const at::Tensor& gate, const at::Tensor& up) {
  const c10::cuda::CUDAGuard guard(gate.device());
  const at::Tensor grad_gate = at::empty_like(gate), grad_up = at::empty_like(up);
  check_launch("swiglu", kernels::launch_swiglu_backward({.grad_out = grad_out.const_data_ptr(),
                                                          .gate = gate.const_data_ptr(),
                                                          .up = up.const_data_ptr(),
                                                          .grad_gate = grad_gate.data_ptr(),
                                                          .grad_up = grad_up.data_ptr(),
                                                          .count = gate.numel(),
                                                          .dtype = kernel_dtype("swiglu", gate)},
                                                         current_stream()));
  return {grad_gate, grad_up};
}

}  // namespace

TORCH_LIBRARY_IMPL(ehrjepa, CUDA, m) {
  if (!cuda_kernels_wanted()) return;
  m.impl("swiglu_forward", &forward);
  m.impl("swiglu_backward", &backward);
}

}  // namespace ehrjepa::ops
