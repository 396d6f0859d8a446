#include "solve/binned.h"

#include <algorithm>
#include <iterator>

namespace ehrjepa::solve {
namespace {

/// The point between two values that both fall on their own side of, whatever the rounding.
float between(float low, float high) {
  const float middle = low + (high - low) / 2;
  return middle < high ? middle : low;
}

/// Cuts of one column whose values ascend.
std::vector<float> cuts_of(const std::vector<float>& sorted, std::int64_t most) {
  std::vector<float> distinct;
  std::unique_copy(sorted.begin(), sorted.end(), std::back_inserter(distinct));
  std::vector<float> cuts;
  if (static_cast<std::int64_t>(distinct.size()) <= most) {
    for (std::size_t i = 1; i < distinct.size(); ++i) cuts.push_back(between(distinct[i - 1], distinct[i]));
    return cuts;
  }
  for (std::int64_t i = 1; i < most; ++i) {
    const float value = sorted[static_cast<std::size_t>(i) * sorted.size() / static_cast<std::size_t>(most)];
    const auto next = std::upper_bound(distinct.begin(), distinct.end(), value);
    // Nothing lies above the largest value.
    if (next == distinct.end()) break;
    const float cut = between(value, *next);
    if (cuts.empty() || cut > cuts.back()) cuts.push_back(cut);
  }
  return cuts;
}

}  // namespace

std::int32_t Bins::bin(std::int64_t column, float value) const {
  const auto first_cut = cuts.begin() + cuts_of[column];
  return static_cast<std::int32_t>(std::lower_bound(first_cut, cuts.begin() + cuts_of[column + 1], value) - first_cut);
}

Bins fit_bins(std::span<const float> features, std::int64_t columns, std::int64_t most) {
  const std::int64_t rows = static_cast<std::int64_t>(features.size()) / columns;
  Bins result{columns, {}, {0}, {}};
  std::vector<float> values(static_cast<std::size_t>(rows));
  for (std::int64_t column = 0; column < columns; ++column) {
    for (std::int64_t row = 0; row < rows; ++row) values[row] = features[row * columns + column];
    std::sort(values.begin(), values.end());
    const std::vector<float> cuts = cuts_of(values, most);
    result.cuts.insert(result.cuts.end(), cuts.begin(), cuts.end());
    result.cuts_of.push_back(static_cast<std::int64_t>(result.cuts.size()));
    std::vector<std::int64_t> sizes(cuts.size() + 1);
    for (const float value : values) ++sizes[result.bin(column, value)];
    result.usual.push_back(static_cast<std::int32_t>(std::max_element(sizes.begin(), sizes.end()) - sizes.begin()));
  }
  return result;
}

bool BinnedRows::is_left(std::int64_t row, const Bins& of, std::int64_t column, std::int32_t bin) const {
  const std::int64_t first = of.first(column);
  const auto begin = bins.begin() + offsets[row];
  const auto end = bins.begin() + offsets[row + 1];
  const auto found = std::lower_bound(begin, end, static_cast<std::int32_t>(first));
  const bool is_usual = found == end || *found >= first + of.count(column);
  return (is_usual ? of.usual[column] : static_cast<std::int32_t>(*found - first)) <= bin;
}

BinnedRows bin_rows(const Bins& bins, std::span<const float> features) {
  BinnedRows result{{0}, {}};
  const std::int64_t rows = static_cast<std::int64_t>(features.size()) / bins.columns;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < bins.columns; ++column) {
      const std::int32_t bin = bins.bin(column, features[row * bins.columns + column]);
      if (bin != bins.usual[column]) result.bins.push_back(static_cast<std::int32_t>(bins.first(column)) + bin);
    }
    result.offsets.push_back(static_cast<std::int64_t>(result.bins.size()));
  }
  return result;
}

}  // namespace ehrjepa::solve
