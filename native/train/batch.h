#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/qwen3.h"

namespace ehrjepa::train {

/// What both objectives read from a packed batch, as tensors. T tokens, B sequences, M masked positions, R scored rows.
struct WorldModelBatch {
  model::PackedTokens clean;
  at::Tensor masked_tokens;     ///< (T), int64: the mask token at masked positions
  at::Tensor masked_positions;  ///< (M), int64, rows of the packed axis
  at::Tensor context_rows;      ///< (M), int64: last context row of the sequence of each masked position
  at::Tensor scored_rows;       ///< (R), int64: rows whose next token carries loss
  at::Tensor labels;            ///< (R), int64: that next token
};

/// @throws Error naming the rule that a sequence breaks: cu_seqlens starts with 0, ascends and ends with the number of
/// tokens; tokens lie in the vocabulary.
model::PackedTokens packed_tokens(std::span<const std::int32_t> tokens, std::span<const std::int32_t> cu_seqlens,
                                  std::span<const std::int32_t> position_ids, std::int64_t vocab_size);

/// @param context_lengths   (B), each in [1, sequence length).
/// @param masked_positions  (M), ascending, each in the future of a sequence. May be empty.
/// @param score_all         score every token but the first of a sequence instead of the future alone.
WorldModelBatch world_model_batch(model::PackedTokens clean, std::span<const std::int32_t> context_lengths,
                                  std::span<const std::int32_t> masked_positions, std::int64_t mask_token_id,
                                  bool score_all);

}  // namespace ehrjepa::train
