#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "contract/batch.h"
#include "contract/losses.h"
#include "model/packed.h"

namespace ehrjepa::train {

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

  /// A shard's batch may hold no patient: it adds nothing.
  bool is_empty() const { return !labels.defined(); }
};

/// @param trunk            its device is that of the batch.
/// @param context_lengths  (B), each in [1, sequence length): where the future that is scored begins.
/// @param branches         may be empty. A target lies behind the branch's cut in its own sequence: a branch predicts
///                         only what it does not see.
WorldModelBatch world_model_batch(const model::PackedTokens& trunk, std::span<const std::int32_t> context_lengths,
                                  const BranchTable& branches, ScoredLabels labels, std::int64_t vocab_size);

}  // namespace ehrjepa::train
