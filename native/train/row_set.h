#pragma once
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "memory/transfer.h"

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
  /// The rows, to select them by.
  at::Tensor index(at::Device device) const { return memory::upload(rows_, device); }
  /// Where each of some rows, which the set holds, stands in it.
  at::Tensor places_of(const std::vector<std::int64_t>& wanted, at::Device device) const {
    std::vector<std::int64_t> places;
    for (const std::int64_t row : wanted) {
      places.push_back(std::lower_bound(rows_.begin(), rows_.end(), row) - rows_.begin());
    }
    return memory::upload(places, device);
  }

 private:
  std::vector<std::int64_t> rows_;
};

}  // namespace ehrjepa::train
