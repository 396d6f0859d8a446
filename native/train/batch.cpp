#include "train/batch.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <string>

#include "core/error.h"
#include "memory/transfer.h"

namespace ehrjepa::train {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error("[batch] " + message); }

void check_branch_lengths(const BranchTable& branches) {
  const std::size_t count = branches.sequences.size();
  const std::size_t rows = branches.targets.size();
  if (branches.cuts.size() != count || branches.cu_rows.size() != count + 1) {
    fail("branches must have a cut each (" + std::to_string(count) + ") and one more offset but have " +
         std::to_string(branches.cuts.size()) + " and " + std::to_string(branches.cu_rows.size()));
  }
  const std::size_t encoded = branches.kind == BranchKind::kState ? 0 : rows;
  if (branches.tokens.size() != encoded || branches.position_ids.size() != encoded) {
    fail("branch rows must have a token and a position id each (" + std::to_string(encoded) + ") but have " +
         std::to_string(branches.tokens.size()) + " and " + std::to_string(branches.position_ids.size()));
  }
  if (branches.days.size() != rows) {
    fail("branch rows must have days each (" + std::to_string(rows) + ") but have " +
         std::to_string(branches.days.size()));
  }
  if (branches.cu_rows.front() != 0 || branches.cu_rows.back() != static_cast<std::int64_t>(rows)) {
    fail("branch offsets must run from 0 to the number of branch rows (" + std::to_string(rows) + ") but run from " +
         std::to_string(branches.cu_rows.front()) + " to " + std::to_string(branches.cu_rows.back()));
  }
}

/// One branch: trunk rows [begin, end) of its sequence, the cut, entries [first, last) of the table.
struct BranchPlace {
  std::size_t index;
  std::int64_t cut, end;
  std::size_t first, last;
};

/// Entries of one branch: tokens, positions, days and targets checked, predictions listed.
/// @param row_of  packed row at which the prediction of an entry is read.
template <typename RowOf>
void add_entries(const BranchPlace& place, const BranchTable& branches, std::int64_t vocab_size, const RowOf& row_of,
                 std::vector<std::int64_t>& predicted, std::vector<float>& days, WorldModelBatch& batch) {
  for (std::size_t r = place.first; r < place.last; ++r) {
    if (!branches.tokens.empty() && (branches.tokens[r] < 0 || branches.tokens[r] >= vocab_size)) {
      fail("branch tokens must lie in [0, " + std::to_string(vocab_size) + ") but row " + std::to_string(r) +
           " holds " + std::to_string(branches.tokens[r]));
    }
    if (!branches.position_ids.empty() && branches.position_ids[r] < 0) {
      fail("branch position_ids must not be negative but row " + std::to_string(r) + " holds " +
           std::to_string(branches.position_ids[r]));
    }
    if (!std::isfinite(branches.days[r]) || branches.days[r] < 0) {
      fail("branch days must be finite and not negative but row " + std::to_string(r) + " holds " +
           std::to_string(branches.days[r]));
    }
    const std::int64_t target = branches.targets[r];
    if (target == -1) continue;
    if (branches.kind == BranchKind::kViews) {
      fail("branch targets must be -1 with two views, which predict one another, but row " + std::to_string(r) +
           " has " + std::to_string(target));
    }
    if (target < place.cut || target >= place.end) {
      fail("branch targets must lie behind the cut in the branch's own sequence ([" + std::to_string(place.cut) + ", " +
           std::to_string(place.end) + ")) but row " + std::to_string(r) + " of branch " + std::to_string(place.index) +
           " has " + std::to_string(target));
    }
    predicted.push_back(row_of(r));
    batch.target_rows.push_back(target);
    batch.context_rows.push_back(place.cut - 1);
    days.push_back(branches.days[r]);
  }
}

}  // namespace

WorldModelBatch world_model_batch(const model::PackedTokens& trunk, std::span<const std::int32_t> context_lengths,
                                  const BranchTable& branches, ScoredLabels labels, std::int64_t vocab_size) {
  const std::vector<std::int64_t>& cu_seqlens = trunk.layout.cu_seqlens;
  const std::size_t sequences = cu_seqlens.size() - 1;
  const std::int64_t trunk_rows = trunk.layout.trunk_rows();
  if (context_lengths.size() != sequences) {
    fail("context_lengths must have one entry per sequence (" + std::to_string(sequences) + ") but has " +
         std::to_string(context_lengths.size()));
  }
  std::vector<std::int64_t> scored;
  for (std::size_t s = 0; s < sequences; ++s) {
    const std::int64_t begin = cu_seqlens[s];
    const std::int64_t end = cu_seqlens[s + 1];
    const std::int64_t future = begin + context_lengths[s];
    if (context_lengths[s] < 1 || future >= end) {
      fail("context_lengths must lie in [1, sequence length) but sequence " + std::to_string(s) + " of " +
           std::to_string(end - begin) + " tokens has " + std::to_string(context_lengths[s]));
    }
    for (std::int64_t row = labels == ScoredLabels::kAll ? begin : future - 1; row + 1 < end; ++row)
      scored.push_back(row);
  }
  const at::Device device = trunk.tokens.device();
  WorldModelBatch batch;
  batch.packed = trunk;
  batch.scored_rows = memory::upload(scored, device);
  batch.labels = trunk.tokens.index_select(0, batch.scored_rows + 1);
  batch.predicted_rows = at::empty({0}, trunk.tokens.options());
  if (branches.sequences.empty()) return batch;

  check_branch_lengths(branches);
  batch.kind = branches.kind;
  batch.packed.layout.isolated = branches.kind == BranchKind::kIsolated;
  std::vector<ops::Branch>& layout = batch.packed.layout.branches;
  std::vector<std::int64_t> predicted;
  std::vector<float> days;
  for (std::size_t i = 0; i < branches.sequences.size(); ++i) {
    const std::int64_t sequence = branches.sequences[i];
    if (sequence < 0 || sequence >= static_cast<std::int64_t>(sequences)) {
      fail("branch sequences must lie in [0, " + std::to_string(sequences) + ") but branch " + std::to_string(i) +
           " has " + std::to_string(sequence));
    }
    const std::int64_t begin = cu_seqlens[static_cast<std::size_t>(sequence)];
    const std::int64_t end = cu_seqlens[static_cast<std::size_t>(sequence) + 1];
    if (branches.cuts[i] < 1 || begin + branches.cuts[i] >= end) {
      fail("branch cuts must lie in [1, sequence length) but branch " + std::to_string(i) + " of a sequence of " +
           std::to_string(end - begin) + " tokens has " + std::to_string(branches.cuts[i]));
    }
    if (branches.cu_rows[i + 1] <= branches.cu_rows[i]) {
      fail("branch offsets must ascend but entry " + std::to_string(i + 1) + " is " +
           std::to_string(branches.cu_rows[i + 1]) + " after " + std::to_string(branches.cu_rows[i]));
    }
    const BranchPlace place{i, begin + branches.cuts[i], end, static_cast<std::size_t>(branches.cu_rows[i]),
                            static_cast<std::size_t>(branches.cu_rows[i + 1])};
    const std::int64_t first = trunk_rows + branches.cu_rows[i], last = trunk_rows + branches.cu_rows[i + 1];
    const bool state = branches.kind == BranchKind::kState;
    add_entries(
        place, branches, vocab_size,
        [&](std::size_t r) { return state ? place.cut - 1 : trunk_rows + static_cast<std::int64_t>(r); }, predicted,
        days, batch);
    if (state) continue;
    if (branches.kind != BranchKind::kViews) {
      layout.push_back({begin, place.cut, first, last});
      continue;
    }
    const std::int64_t second_view = first + branches.predictor_tokens;
    if (branches.predictor_tokens < 0 || second_view >= last) {
      fail("predictor_tokens must leave the second view a row but are " + std::to_string(branches.predictor_tokens) +
           " of the " + std::to_string(last - first) + " rows of branch " + std::to_string(i));
    }
    if (second_view > first) layout.push_back({begin, place.cut, first, second_view});
    layout.push_back({begin, begin, second_view, last});  // an empty context
    predicted.push_back(second_view > first ? second_view - 1 : place.cut - 1);
    batch.target_rows.push_back(last - 1);
    batch.context_rows.push_back(place.cut - 1);
    days.push_back(0.0F);
  }
  batch.packed.tokens = at::cat({trunk.tokens, model::long_tensor(branches.tokens, device)});
  batch.packed.position_ids = at::cat({trunk.position_ids, model::long_tensor(branches.position_ids, device)});
  batch.predicted_rows = memory::upload(predicted, device);
  batch.days = memory::upload(at::tensor(days, memory::on_host(at::kFloat)), device);
  return batch;
}

}  // namespace ehrjepa::train
