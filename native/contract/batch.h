#pragma once
#include <cstdint>
#include <vector>

#include "contract/fields.h"
#include "contract/names.h"

namespace ehrjepa {

/// Sequences laid end to end. T tokens, B sequences.
struct PackedBatch {
  std::vector<std::int32_t> tokens;        ///< (T)
  std::vector<std::int32_t> cu_seqlens;    ///< (B + 1), starts with 0, ends with T
  std::vector<std::int32_t> position_ids;  ///< (T)

  bool operator==(const PackedBatch&) const = default;
};
template <>
struct Fields<PackedBatch> {
  static constexpr auto list =
      std::tuple(field("tokens", &PackedBatch::tokens), field("cu_seqlens", &PackedBatch::cu_seqlens),
                 field("position_ids", &PackedBatch::position_ids));
};

/// What the rows of a branch are and whom they see.
enum class BranchKind {
  kCausal,    ///< the context and the rows of the branch up to itself: masked copies of the future
  kIsolated,  ///< the context and itself: queries
  kState,     ///< no rows: predictions start from the state of the last context row
  /// LLM-JEPA's two views: `predictor_tokens` rows that see the context, the last of which predicts; then the future as
  /// a sequence of its own that sees nothing else, the last row of which is predicted.
  kViews,
};
template <>
struct Names<BranchKind> {
  static constexpr Named<BranchKind> table[] = {{"causal", BranchKind::kCausal},
                                                {"isolated", BranchKind::kIsolated},
                                                {"state", BranchKind::kState},
                                                {"views", BranchKind::kViews}};
};

/// Latent branches: one entry of `sequences` and `cuts` a branch, rows in `cu_rows`. K branches, R rows. Branches of
/// kind kState have entries of `targets` and `days` alone.
struct BranchTable {
  std::vector<std::int32_t> sequences;     ///< (K) which trunk sequence a branch belongs to
  std::vector<std::int32_t> cuts;          ///< (K) how many tokens of that sequence it sees, in [1, length)
  std::vector<std::int32_t> cu_rows;       ///< (K + 1), starts with 0, ends with R
  std::vector<std::int32_t> tokens;        ///< (R)
  std::vector<std::int32_t> position_ids;  ///< (R)
  std::vector<std::int32_t> targets;       ///< (R) packed trunk row whose state is predicted here, or -1
  std::vector<float> days;                 ///< (R) days from the last context event to the row's place, from 0
  BranchKind kind = BranchKind::kCausal;
  std::int64_t predictor_tokens = 0;  ///< of kViews

  bool operator==(const BranchTable&) const = default;
};
template <>
struct Fields<BranchTable> {
  static constexpr auto list =
      std::tuple(field("sequences", &BranchTable::sequences), field("cuts", &BranchTable::cuts),
                 field("cu_rows", &BranchTable::cu_rows), field("tokens", &BranchTable::tokens),
                 field("position_ids", &BranchTable::position_ids), field("targets", &BranchTable::targets),
                 field("days", &BranchTable::days), field("kind", &BranchTable::kind),
                 field("predictor_tokens", &BranchTable::predictor_tokens));
};

/// A packed batch with what the two objectives need.
struct TrainingBatch : PackedBatch {
  std::vector<std::int32_t> context_lengths;  ///< (B), each in [1, sequence length): the rest is future
  BranchTable branches;

  bool operator==(const TrainingBatch&) const = default;
};
template <>
struct Fields<TrainingBatch> {
  static constexpr auto list = fields_after<PackedBatch>(field("context_lengths", &TrainingBatch::context_lengths),
                                                         field("branches", &TrainingBatch::branches));
};

}  // namespace ehrjepa
