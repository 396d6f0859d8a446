#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

namespace ehrjepa::ops {

/// The gated activation of the decoder's MLP, with a gradient:
///
///   y = silu(gate) * up,   silu(x) = x / (1 + exp(-x))
///
/// Computed in at least float32 and rounded once.
///
/// @param gate, up  one shape, any rank; float32, bfloat16 or float64; one dtype and device.
/// @return          their shape and dtype, contiguous.
/// @throws c10::ValueError  when shapes, dtypes or devices differ.
/// Source: Shazeer 2020; transformers modeling_qwen3.py Qwen3MLP.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

/// The same mathematics in plain ATen, differentiable by autograd: the oracle of every test.
at::Tensor swiglu_reference(const at::Tensor& gate, const at::Tensor& up);

/// Dispatched by device; no gradient of its own. Arguments are contiguous.
at::Tensor swiglu_forward(const at::Tensor& gate, const at::Tensor& up);

/// With s = 1 / (1 + exp(-gate)):  grad_gate = grad_out up s (1 + gate (1 - s)),  grad_up = grad_out gate s.
std::tuple<at::Tensor, at::Tensor> swiglu_backward(const at::Tensor& grad_out, const at::Tensor& gate,
                                                   const at::Tensor& up);

}  // namespace ehrjepa::ops
