// Which keys the rows of a query block see, one block of keys after another. Included by files for one instruction set
// (simd.h).
#pragma once
#include "ops/attention/cpu_kernels.h"

namespace ehrjepa::ops::attention_cpu {
namespace {

/// Keys of one block that one range of a query block shows: row i sees columns [begin(i), end(i)).
struct Visible {
  std::int64_t first;            ///< key row of column 0
  std::int64_t lowest, highest;  ///< of all rows
  const std::int64_t* positions;
  std::int64_t begin_row, end_row;  ///< key rows of the range
  bool causal, isolated;

  std::int64_t within(std::int64_t key) const {
    const std::int64_t column = key - first;
    return column < 0 ? 0 : column > block ? block : column;
  }
  std::int64_t begin(std::int64_t i) const { return within(isolated ? positions[i] : begin_row); }
  std::int64_t end(std::int64_t i) const { return within(causal ? positions[i] + 1 : end_row); }
  /// Every row sees the same columns.
  bool uniform(std::int64_t rows) const { return begin(0) == begin(rows - 1) && end(0) == end(rows - 1); }
};

/// Rows, or keys, of a block that are multiplied together where not all see the same: what they do not see is left out.
constexpr std::int64_t strip = 12;

/// Calls `run(first, count, begin, end)` for rows [first, first + count) and the columns [begin, end) that one of them
/// sees; the limits of the rows ascend.
template <typename Run>
[[gnu::always_inline]] inline void for_row_strips(const Visible& visible, std::int64_t rows, const Run& run) {
  const std::int64_t step = visible.uniform(rows) ? rows : strip;
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t count = first + step < rows ? step : rows - first;
    const std::int64_t begin = visible.begin(first), end = visible.end(first + count - 1);
    if (begin < end) run(first, count, begin, end);
  }
}

/// Calls `run(first, count, begin, end)` for columns [first, first + count) and the rows [begin, end) that see one of
/// them.
template <typename Run>
[[gnu::always_inline]] inline void for_column_strips(const Visible& visible, std::int64_t rows, const Run& run) {
  const std::int64_t all = visible.highest - visible.lowest;
  const std::int64_t step = visible.uniform(rows) ? all : strip;
  std::int64_t begin = 0, end = 0;
  for (std::int64_t first = visible.lowest; first < visible.highest; first += step) {
    const std::int64_t count = first + step < visible.highest ? step : visible.highest - first;
    while (begin < rows && visible.end(begin) <= first) ++begin;
    while (end < rows && visible.begin(end) < first + count) ++end;
    if (begin < end) run(first, count, begin, end);
  }
}

/// Calls `run` with each block of keys that rows of a query block see.
template <typename Queries, typename Run>
[[gnu::always_inline]] inline void for_key_blocks(const Queries& queries, const Run& run) {
  const Seen& seen = queries.seen;
  const std::int64_t last = queries.positions[queries.rows - 1] + 1;
  const std::int64_t own = seen.isolated ? queries.positions[0] : seen.own_begin;
  const auto range = [&](std::int64_t begin, std::int64_t end, bool causal) {
    for (std::int64_t first = begin / block * block; first < end; first += block) {
      Visible visible{first, 0, 0, queries.positions, begin, end, causal, causal && seen.isolated};
      visible.lowest = visible.within(begin);
      visible.highest = visible.within(end);
      run(visible);
    }
  };
  if (seen.context_begin < seen.context_end) range(seen.context_begin, seen.context_end, false);
  range(own, last, true);
}

}  // namespace
}  // namespace ehrjepa::ops::attention_cpu
