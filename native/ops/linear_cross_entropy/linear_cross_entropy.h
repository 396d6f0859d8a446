#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

namespace ehrjepa::ops {

/// Cross entropy of a linear map's outputs, natural logarithm:
///
///   loss = -1/R sum_r log softmax(W h_r)_{y_r}
///
/// The logits are made for some rows at a time and never stored, and the gradients are formed together with them:
/// beside the gradients themselves no tensor is larger than `linear_cross_entropy_rows(R, V)` x V. Softmax and sums are
/// in float32 (float64 for float64 input), products in the dtype of the inputs.
///
/// @param hidden  (R, D), float32, bfloat16 or float64, R >= 1.
/// @param weight  (V, D), same dtype and device.
/// @param labels  (R), int64 in [0, V).
/// @return scalar, float32 (float64 for float64 input), differentiable once in hidden and weight.
/// @throws c10::ValueError on shapes, dtypes or devices that do not fit, and on a label outside [0, V).
/// Source: the loss head of transformers' Qwen3ForCausalLM; gradients in the forward: Hsu et al. 2024, Liger-Kernel.
at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels);

/// log softmax(W h_r)_{y_r} of each row; no gradient. Arguments as above, R may be 0. @return (R), float32 or float64.
at::Tensor label_log_probabilities(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels);

/// `linear_cross_entropy` with all logits at once: the oracle of every test.
at::Tensor linear_cross_entropy_reference(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels);

/// Rows whose logits are made at a time: at most 256 MiB of float32, and pieces as even as can be. A short last piece
/// would read the whole weight for little.
std::int64_t linear_cross_entropy_rows(std::int64_t rows, std::int64_t vocab_size);

/// Dispatched by device. @return log-probabilities of the labels (R), and the gradients of the loss with respect to
/// hidden (R, D) and weight (V, D), in the dtype of the inputs; undefined where they are not asked for.
std::tuple<at::Tensor, at::Tensor, at::Tensor> linear_cross_entropy_forward(const at::Tensor& hidden,
                                                                            const at::Tensor& weight,
                                                                            const at::Tensor& labels, bool hidden_grad,
                                                                            bool weight_grad);

}  // namespace ehrjepa::ops
