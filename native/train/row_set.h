#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace ehrjepa::train {

/// Packed rows, ascending and once each: branches of one patient may share targets and contexts.
class RowSet {
 public:
  explicit RowSet(std::vector<std::int64_t> rows, const std::vector<std::int64_t>& more = {}) : rows_(std::move(rows)) {
    rows_.insert(rows_.end(), more.begin(), more.end());
    std::sort(rows_.begin(), rows_.end());
    rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
  }
  const std::vector<std::int64_t>& ascending() const { return rows_; }
  at::Tensor index() const { return at::tensor(rows_, at::kLong); }
  /// Where each of some rows, which the set holds, stands in it.
  at::Tensor places_of(const std::vector<std::int64_t>& wanted) const {
    std::vector<std::int64_t> places;
    for (const std::int64_t row : wanted) {
      places.push_back(std::lower_bound(rows_.begin(), rows_.end(), row) - rows_.begin());
    }
    return at::tensor(places, at::kLong);
  }

 private:
  std::vector<std::int64_t> rows_;
};

}  // namespace ehrjepa::train
