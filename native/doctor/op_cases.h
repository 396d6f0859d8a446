#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ops/attention/attention.h"

namespace ehrjepa::doctor {

/// Sizes of a step: T tokens, hidden size D, vocabulary V.
struct OpSizes {
  std::int64_t tokens, hidden, vocabulary;
};

/// A function of tensors; its result is differentiable in those that have a gradient.
using OpFunction = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

/// One op as it is checked and timed.
struct OpCase {
  std::string name;
  std::string function;                           ///< that is dispatched; empty: products, which libtorch computes
  std::vector<std::vector<std::int64_t>> shapes;  ///< of the inputs
  OpFunction op, reference;
  double flops = 0.0;     ///< of forward and backward
  double elements = 0.0;  ///< least number that forward and backward read and write
};

/// What attention is checked and timed with.
struct AttentionOp {
  ops::AttentionLayout layout;
  double softmax_scale;
  std::vector<std::vector<std::int64_t>> shapes;  ///< of q, k and v
  double flops, elements;
};
AttentionOp attention_op(const OpSizes& sizes, std::int64_t head_dim);
/// Sizes of heads that attention has kernels for.
inline constexpr std::int64_t head_sizes[] = {64, 128};
/// Behind the name of what is checked with heads of some size.
std::string with_heads(const std::string& name, std::int64_t head_dim);

/// Every op with a gradient; AdamW has none, and is a case of its own.
std::vector<OpCase> op_cases(const OpSizes& sizes);

}  // namespace ehrjepa::doctor
