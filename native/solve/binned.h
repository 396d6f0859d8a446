#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ehrjepa::solve {

/// How the values of each column are cut into bins: bin b of column c holds x with b of its `cuts` below x.
struct Bins {
  std::int64_t columns = 0;
  std::vector<float> cuts;            ///< of all columns, ascending in each
  std::vector<std::int64_t> cuts_of;  ///< (columns + 1), where those of each begin
  std::vector<std::int32_t> usual;    ///< (columns), the bin of most rows

  /// Bins of a column, one more than its cuts.
  std::int64_t count(std::int64_t column) const { return cuts_of[column + 1] - cuts_of[column] + 1; }
  /// Number of a column's bin 0 among those of all columns.
  std::int64_t first(std::int64_t column) const { return cuts_of[column] + column; }
  std::int64_t total() const { return static_cast<std::int64_t>(cuts.size()) + columns; }
  std::int32_t bin(std::int64_t column, float value) const;
};

/// @param features  (rows x columns), row-major. @param most  bins of a column.
Bins fit_bins(std::span<const float> features, std::int64_t columns, std::int64_t most);

/// Rows by their bins. Most values of counts are 0: a row lists the bins that are not its column's usual one.
struct BinnedRows {
  std::vector<std::int64_t> offsets;  ///< (rows + 1), where each row's list begins
  std::vector<std::int32_t> bins;     ///< numbers among those of all columns, ascending in a row

  std::int64_t rows() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  /// Whether the value lies at or below the split behind `bin` of `column`.
  bool is_left(std::int64_t row, const Bins& of, std::int64_t column, std::int32_t bin) const;
};

BinnedRows bin_rows(const Bins& bins, std::span<const float> features);

}  // namespace ehrjepa::solve
