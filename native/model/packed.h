#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "ops/attention/attention.h"

namespace ehrjepa::model {

/// Packed rows as tensors, checked: T trunk tokens in sequences, then R rows of latent branches.
struct PackedTokens {
  at::Tensor tokens;        ///< (T + R), int64
  at::Tensor position_ids;  ///< (T + R), int64; a branch's restart where the future of its trunk began
  ops::AttentionLayout layout;

  /// The trunk alone.
  PackedTokens trunk() const;
};

/// @throws Error naming the rule that a sequence breaks: cu_seqlens starts with 0, ascends and ends with the number of
/// tokens; tokens lie in the vocabulary.
/// @param device  of the tensors.
PackedTokens packed_tokens(std::span<const std::int32_t> tokens, std::span<const std::int32_t> cu_seqlens,
                           std::span<const std::int32_t> position_ids, std::int64_t vocab_size,
                           at::Device device = at::kCPU);

/// (values) int64 on a device: what indexes a tensor.
at::Tensor long_tensor(std::span<const std::int32_t> values, at::Device device);

}  // namespace ehrjepa::model
