#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/packed.h"

namespace ehrjepa::train {

/// What the rows of a branch are and whom they see.
enum class BranchKind {
  kCausal,    ///< the context and the rows of the branch up to itself: masked copies of the future
  kIsolated,  ///< the context and itself: queries
  kState,     ///< no rows: predictions start from the state of the last context row
  /// LLM-JEPA's two views: `predictor_tokens` rows that see the context, the last of which predicts; then the future as
  /// a sequence of its own that sees nothing else, the last row of which is predicted.
  kViews,
};

/// What both objectives read from a packed batch, as tensors. T trunk rows, R branch rows, B sequences, M predicted
/// positions, S scored rows.
struct WorldModelBatch {
  model::PackedTokens packed;
  at::Tensor scored_rows;  ///< (S), int64: trunk rows whose next token carries loss
  at::Tensor labels;       ///< (S), int64: that next token
  BranchKind kind = BranchKind::kCausal;
  at::Tensor predicted_rows;               ///< (M), int64: packed rows at which a prediction is read
  std::vector<std::int64_t> target_rows;   ///< (M): the packed row that each predicts, of the trunk but for views
  std::vector<std::int64_t> context_rows;  ///< (M): last context row of its branch
  at::Tensor days;                         ///< (M), float32: days from there to the target
};

/// Latent branches as they come: one entry of `sequences` and `cuts` per branch, rows in `cu_rows`. Branches of kind
/// kState have entries of `targets` and `days` alone.
struct BranchTable {
  std::span<const std::int32_t> sequences;     ///< (K) which trunk sequence a branch belongs to
  std::span<const std::int32_t> cuts;          ///< (K) how many tokens of that sequence it sees, in [1, length)
  std::span<const std::int32_t> cu_rows;       ///< (K + 1), starts with 0, ends with R
  std::span<const std::int32_t> tokens;        ///< (R)
  std::span<const std::int32_t> position_ids;  ///< (R)
  std::span<const std::int32_t> targets;       ///< (R) packed trunk row whose state is predicted here, or -1
  std::span<const float> days;                 ///< (R) days from the last context event to the row's place, from 0
  BranchKind kind = BranchKind::kCausal;
  std::int64_t predictor_tokens = 0;  ///< of kViews
};

/// @param context_lengths  (B), each in [1, sequence length): where the future that is scored begins.
/// @param branches         may be empty. A target lies behind the branch's cut in its own sequence: a branch predicts
///                         only what it does not see.
/// @param score_all        score every token but the first of a sequence instead of the future alone.
WorldModelBatch world_model_batch(const model::PackedTokens& trunk, std::span<const std::int32_t> context_lengths,
                                  const BranchTable& branches, bool score_all, std::int64_t vocab_size);

}  // namespace ehrjepa::train
