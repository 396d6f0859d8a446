#pragma once
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "contract/boosting.h"
#include "solve/binned.h"

namespace ehrjepa::solve {

/// First and second derivative of the loss with respect to what is predicted.
struct Derivatives {
  double first = 0, second = 0;
};

/// A place of a tree: a split, whose `right` is behind its `left`, or a leaf.
struct TreeNode {
  std::int64_t column = -1;  ///< of the split; below 0 in a leaf
  std::int32_t bin = 0;      ///< rows up to it go left
  std::int32_t left = 0;     ///< place of the left branch; the right one follows
  double value = 0;          ///< what a leaf adds
};
using Tree = std::vector<TreeNode>;

/// Grows one tree; a tree of one leaf means that no split helps.
Tree grow_tree(const Bins& bins, const BinnedRows& rows, std::span<const Derivatives> derivatives,
               const BoostingOptions& options, const std::atomic<bool>& cancelled);

/// Adds what a tree says of each row.
void add_tree(const Tree& tree, const Bins& bins, const BinnedRows& rows, std::vector<double>& predicted);

}  // namespace ehrjepa::solve
