#include "solve/tree.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace ehrjepa::solve {
namespace {

struct Cell {
  double first = 0, second = 0;
  std::int64_t rows = 0;

  void add(const Cell& other) {
    first += other.first;
    second += other.second;
    rows += other.rows;
  }
  Cell without(const Cell& other) const { return {first - other.first, second - other.second, rows - other.rows}; }
};
/// Sums by bin, of all columns.
using Histogram = std::vector<Cell>;

struct Split {
  double gain = 0;
  std::int64_t column = -1;
  std::int32_t bin = 0;
};

/// A leaf that may still be split.
struct Leaf {
  std::int32_t place = 0;
  std::vector<std::int32_t> rows;
  Cell sum;
  Histogram histogram;
  Split best;
};

class Growth {
 public:
  Growth(const Bins& bins, const BinnedRows& rows, std::span<const Derivatives> derivatives,
         const BoostingOptions& options, const std::atomic<bool>& cancelled)
      : bins_(bins), rows_(rows), derivatives_(derivatives), options_(options), cancelled_(cancelled) {}

  Tree grow() {
    Leaf root;
    for (std::int64_t row = 0; row < rows_.rows(); ++row) root.rows.push_back(static_cast<std::int32_t>(row));
    root.sum = sum_of(root.rows);
    root.histogram = histogram_of(root);
    root.best = best_split(root);
    tree_.push_back({.value = value_of(root.sum)});
    std::vector<Leaf> leaves;
    leaves.push_back(std::move(root));
    for (std::int64_t count = 1; count < options_.leaves; ++count) {
      // The first of equals, so that the order decides and not the sort.
      const auto best = std::max_element(leaves.begin(), leaves.end(),
                                         [](const Leaf& a, const Leaf& b) { return a.best.gain < b.best.gain; });
      if (best->best.gain <= 0) break;
      Leaf parent = std::move(*best);
      auto [left, right] = split(std::move(parent));
      *best = std::move(left);
      leaves.push_back(std::move(right));
    }
    return std::move(tree_);
  }

 private:
  double value_of(const Cell& sum) const { return -options_.learning_rate * sum.first / (sum.second + options_.l2); }
  double score(const Cell& sum) const { return sum.first * sum.first / (sum.second + options_.l2); }

  Cell sum_of(const std::vector<std::int32_t>& rows) const {
    Cell sum;
    for (const std::int32_t row : rows) sum.add({derivatives_[row].first, derivatives_[row].second, 1});
    return sum;
  }

  Histogram histogram_of(const Leaf& leaf) const {
    Histogram result(static_cast<std::size_t>(bins_.total()));
    for (const std::int32_t row : leaf.rows) {
      const Cell one{derivatives_[row].first, derivatives_[row].second, 1};
      for (std::int64_t i = rows_.offsets[row]; i < rows_.offsets[row + 1]; ++i) result[rows_.bins[i]].add(one);
    }
    // What is in no list is in the usual bin.
    for (std::int64_t column = 0; column < bins_.columns; ++column) {
      Cell rest = leaf.sum;
      const std::int64_t first = bins_.first(column);
      for (std::int64_t bin = 0; bin < bins_.count(column); ++bin) rest = rest.without(result[first + bin]);
      result[first + bins_.usual[column]] = rest;
    }
    return result;
  }

  Split best_split(const Leaf& leaf) const {
    Split best;
    if (leaf.sum.rows < 2 * options_.leaf_rows) return best;
    const double whole = score(leaf.sum);
    for (std::int64_t column = 0; column < bins_.columns; ++column) {
      const Cell* const cells = leaf.histogram.data() + bins_.first(column);
      Cell left;
      for (std::int32_t bin = 0; bin + 1 < bins_.count(column); ++bin) {
        left.add(cells[bin]);
        const Cell right = leaf.sum.without(left);
        if (right.rows < options_.leaf_rows) break;
        if (left.rows < options_.leaf_rows || cells[bin].rows == 0) continue;
        const double gain = score(left) + score(right) - whole;
        // A difference within the rounding of the sums is none.
        if (gain > best.gain && gain > 1e-9 * (1 + whole)) best = {gain, column, bin};
      }
    }
    return best;
  }

  std::pair<Leaf, Leaf> split(Leaf parent) {
    if (cancelled_) throw Cancelled();
    const auto& [gain, column, bin] = parent.best;
    Leaf left, right;
    for (const std::int32_t row : parent.rows)
      (rows_.is_left(row, bins_, column, bin) ? left : right).rows.push_back(row);
    left.sum = sum_of(left.rows);
    right.sum = sum_of(right.rows);
    left.place = static_cast<std::int32_t>(tree_.size());
    right.place = left.place + 1;
    tree_[static_cast<std::size_t>(parent.place)] = {.column = column, .bin = bin, .left = left.place};
    tree_.push_back({.value = value_of(left.sum)});
    tree_.push_back({.value = value_of(right.sum)});
    // The smaller one is counted, the other is what is left of the parent.
    Leaf& small = left.rows.size() <= right.rows.size() ? left : right;
    Leaf& large = left.rows.size() <= right.rows.size() ? right : left;
    small.histogram = histogram_of(small);
    large.histogram = std::move(parent.histogram);
    for (std::size_t i = 0; i < large.histogram.size(); ++i)
      large.histogram[i] = large.histogram[i].without(small.histogram[i]);
    left.best = best_split(left);
    right.best = best_split(right);
    return {std::move(left), std::move(right)};
  }

  const Bins& bins_;
  const BinnedRows& rows_;
  std::span<const Derivatives> derivatives_;
  const BoostingOptions& options_;
  const std::atomic<bool>& cancelled_;
  Tree tree_;
};

}  // namespace

Tree grow_tree(const Bins& bins, const BinnedRows& rows, std::span<const Derivatives> derivatives,
               const BoostingOptions& options, const std::atomic<bool>& cancelled) {
  return Growth(bins, rows, derivatives, options, cancelled).grow();
}

void add_tree(const Tree& tree, const Bins& bins, const BinnedRows& rows, std::vector<double>& predicted) {
  for (std::int64_t row = 0; row < rows.rows(); ++row) {
    std::size_t place = 0;
    while (tree[place].column >= 0) {
      const bool is_left = rows.is_left(row, bins, tree[place].column, tree[place].bin);
      place = static_cast<std::size_t>(tree[place].left) + (is_left ? 0 : 1);
    }
    predicted[static_cast<std::size_t>(row)] += tree[place].value;
  }
}

}  // namespace ehrjepa::solve
