#include "ops/attention/cuda_plan.h"

#include <algorithm>

namespace ehrjepa::ops::attention_cuda {
namespace {

using kernels::Sight;

/// Packed rows that see one another causally: a trunk sequence or a branch.
struct Segment {
  std::int64_t begin, end;
  std::int64_t context_begin, context_end;
  bool isolated;
};

std::vector<Segment> segments_of(const AttentionLayout& layout) {
  std::vector<Segment> result;
  for (std::size_t s = 0; s + 1 < layout.cu_seqlens.size(); ++s) {
    result.push_back({layout.cu_seqlens[s], layout.cu_seqlens[s + 1], 0, 0, false});
  }
  for (const Branch& branch : layout.branches) {
    result.push_back({branch.begin, branch.end, branch.context_begin, branch.context_end, layout.isolated});
  }
  return result;
}

std::int32_t narrow(std::int64_t value) { return static_cast<std::int32_t>(value); }

}  // namespace

Plan plan_of(const AttentionLayout& layout, const std::optional<std::vector<std::int64_t>>& rows) {
  const std::vector<Segment> segments = segments_of(layout);
  /// Number among the rows of q of the first at or behind a position.
  const auto place = [&](std::int64_t position) {
    return rows ? std::lower_bound(rows->begin(), rows->end(), position) - rows->begin() : position;
  };
  const auto position = [&](std::int64_t row) { return rows ? (*rows)[static_cast<std::size_t>(row)] : row; };
  Plan plan;
  for (const Segment& of : segments) {
    for (std::int64_t row = place(of.begin), last = place(of.end); row < last; row += kernels::query_tile_rows) {
      const std::int64_t count = std::min<std::int64_t>(kernels::query_tile_rows, last - row);
      plan.query_tiles.push_back({narrow(row), narrow(count), narrow(of.context_begin), narrow(of.context_end),
                                  narrow(of.isolated ? position(row) : of.begin), narrow(position(row + count - 1) + 1),
                                  of.isolated ? 1 : 0});
    }
  }
  for (const Segment& of : segments) {
    for (std::int64_t key = of.begin; key < of.end; key += kernels::key_tile_rows) {
      const std::int64_t key_end = std::min<std::int64_t>(of.end, key + kernels::key_tile_rows);
      const auto first = narrow(static_cast<std::int64_t>(plan.visits.size()));
      const std::int64_t own = place(key), own_end = place(of.isolated ? key_end : of.end);
      if (own < own_end) {
        plan.visits.push_back({narrow(own), narrow(own_end), of.isolated ? Sight::kIsolated : Sight::kCausal, 0, 0});
      }
      for (const Segment& other : segments) {
        const std::int64_t row = place(other.begin), row_end = place(other.end);
        if (other.context_begin >= key_end || other.context_end <= key || row == row_end) continue;
        plan.visits.push_back(
            {narrow(row), narrow(row_end), Sight::kContext, narrow(other.context_begin), narrow(other.context_end)});
      }
      plan.key_tiles.push_back(
          {narrow(key), narrow(key_end - key), first, narrow(static_cast<std::int64_t>(plan.visits.size()))});
    }
  }
  return plan;
}

}  // namespace ehrjepa::ops::attention_cuda
