#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "contract/ranks.h"
#include "distributed/flat_rounding.h"
#include "distributed/group.h"

namespace ehrjepa::distributed {

/// The shards that a rank computes: contiguous, every shard one rank's, none or one more for some than for others.
ShardRange shards_of(std::int64_t rank, std::int64_t ranks, std::int64_t shards);

/// Sum of one vector of each shard, by the tree of `ShardSum`; in the memory of the first.
at::Tensor sum_of_shards(const std::vector<at::Tensor>& shards);

/// Sum over the shards of an update, in an order that the number of shards alone decides: a tree over them, each node
/// the sum of its halves (the left one a power of two). However many ranks there are, and whichever shards each has,
/// all of them get the same bits. A rank holds one vector for each whole subtree of its shards, mostly one.
class ShardSum {
 public:
  /// @param own       of this rank; its shards are added in their order.
  /// @param rounding  of what travels, in bfloat16 then; null: float32. It must outlive the sum.
  explicit ShardSum(const ShardRange& own, const FlatRounding* rounding = nullptr) : own_(own), rounding_(rounding) {}

  /// @param values  (n), float32; the sum's from now on.
  void add(at::Tensor values);
  /// The sum over the shards of all ranks. Each rank sums a part of the vector, n / W, then all gather the parts: the
  /// traffic of a rank is 2 n (W - 1) / W numbers, as of any all-reduce, where each rank's shards make one subtree.
  /// @param group  absent: this rank has all shards.
  at::Tensor total(Group* group, const std::atomic<bool>& cancelled);
  /// The part of the sum that is this rank's, in the memory of the vector that was added first.
  /// @param lengths  of the parts of all ranks, which lie one behind another.
  at::Tensor section(Group& group, const std::vector<std::int64_t>& lengths, const std::atomic<bool>& cancelled);

 private:
  struct Node {
    std::int64_t first, count;
    at::Tensor values;
  };
  /// Sum of the shards from `first` on, of nodes that make them up; in the memory of the first of them.
  static at::Tensor combine(std::vector<Node>& nodes, std::size_t& next, std::int64_t first, std::int64_t count);

  void require_all() const;

  at::ScalarType travel() const { return rounding_ == nullptr ? at::kFloat : at::kBFloat16; }

  ShardRange own_;
  const FlatRounding* rounding_;
  std::int64_t added_ = 0;
  std::vector<Node> nodes_;
};

}  // namespace ehrjepa::distributed
