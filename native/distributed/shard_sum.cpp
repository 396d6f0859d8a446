#include "distributed/shard_sum.h"

#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <string>
#include <utility>

#include "core/error.h"
#include "distributed/sections.h"

namespace ehrjepa::distributed {
namespace {

/// First and number of shards of the whole subtrees of a range, in order.
std::vector<std::pair<std::int64_t, std::int64_t>> subtrees(const ShardRange& range) {
  std::vector<std::pair<std::int64_t, std::int64_t>> result;
  const std::int64_t end = range.first + range.count;
  for (std::int64_t first = range.first; first < end;) {
    std::int64_t count = 1;
    while (first % (2 * count) == 0 && first + 2 * count <= end) count *= 2;
    result.emplace_back(first, count);
    first += count;
  }
  return result;
}

}  // namespace

ShardRange shards_of(std::int64_t rank, std::int64_t ranks, std::int64_t shards) {
  const std::int64_t first = rank * shards / ranks;
  return {first, (rank + 1) * shards / ranks - first, shards};
}

at::Tensor sum_of_shards(const std::vector<at::Tensor>& shards) {
  const std::atomic<bool> runs{false};
  ShardSum sum({0, static_cast<std::int64_t>(shards.size()), static_cast<std::int64_t>(shards.size())});
  for (const at::Tensor& shard : shards) sum.add(shard);
  return sum.total(nullptr, runs);
}

void ShardSum::add(at::Tensor values) {
  const at::NoGradGuard no_grad;
  nodes_.push_back({own_.first + added_++, 1, std::move(values)});
  while (nodes_.size() > 1) {
    Node& left = nodes_[nodes_.size() - 2];
    const Node& right = nodes_.back();
    if (left.count != right.count || left.first % (2 * left.count) != 0) return;
    left.values.add_(right.values);
    left.count *= 2;
    nodes_.pop_back();
  }
}

at::Tensor ShardSum::combine(std::vector<Node>& nodes, std::size_t& next, std::int64_t first, std::int64_t count) {
  if (nodes[next].first == first && nodes[next].count == count) return nodes[next++].values;
  const auto half = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(count - 1)));
  at::Tensor left = combine(nodes, next, first, half);
  return left.add_(combine(nodes, next, first + half, count - half));
}

at::Tensor ShardSum::total(Group* group, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  require_all();
  if (group == nullptr) {
    std::size_t next = 0;
    return combine(nodes_, next, 0, own_.total);
  }
  const std::int64_t ranks = group->size(), elements = nodes_[0].values.numel();
  std::vector<std::int64_t> lengths;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    lengths.push_back((rank + 1) * elements / ranks - rank * elements / ranks);
  }
  const at::Tensor own = section(*group, lengths, cancelled);
  const at::Tensor result = nodes_[0].values;
  std::vector<FlatTensors> sections;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    sections.emplace_back(
        std::vector{result.narrow(0, rank * elements / ranks, lengths[static_cast<std::size_t>(rank)])});
  }
  gather_sections(*group, FlatTensors({own}), sections, travel(), cancelled);
  return result;
}

at::Tensor ShardSum::section(Group& group, const std::vector<std::int64_t>& lengths,
                             const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  require_all();
  const std::int64_t ranks = group.size();
  const std::int64_t longest = *std::ranges::max_element(lengths);
  const std::int64_t piece = std::max<std::int64_t>(1, kBucket / ranks);
  const auto own_nodes = static_cast<std::int64_t>(nodes_.size());
  const std::int64_t place = std::accumulate(lengths.begin(), lengths.begin() + group.rank(), std::int64_t{0});
  if (rounding_ != nullptr) {
    for (const Node& node : nodes_) rounding_->round_(node.values, 0, node.first);
  }
  at::Tensor own;
  for (std::int64_t begin = 0; begin < longest; begin += piece) {
    const auto count_of = [&](std::int64_t rank) {
      return std::clamp<std::int64_t>(lengths[static_cast<std::size_t>(rank)] - begin, 0, piece);
    };
    // What each rank sums: a part of every node of this one.
    std::vector<at::Tensor> sent;
    std::vector<std::int64_t> parts_out, parts_in;
    std::int64_t start = 0;
    for (std::int64_t to = 0; to < ranks; ++to) {
      if (count_of(to) > 0) {
        for (const Node& node : nodes_) sent.push_back(node.values.narrow(0, start + begin, count_of(to)));
      }
      parts_out.push_back(own_nodes * count_of(to));
      start += lengths[static_cast<std::size_t>(to)];
    }
    const std::int64_t count = count_of(group.rank());
    std::vector<Node> parts;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const auto theirs = subtrees(shards_of(rank, ranks, own_.total));
      parts_in.push_back(static_cast<std::int64_t>(theirs.size()) * count);
      for (const auto& [first, shards] : theirs) parts.push_back({first, shards, {}});
    }
    const at::Tensor got = group.swap(at::cat(sent).to(travel()), parts_out, parts_in, cancelled).to(at::kFloat);
    if (count == 0) continue;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      parts[i].values = got.narrow(0, static_cast<std::int64_t>(i) * count, count);
    }
    std::size_t next = 0;
    const at::Tensor sum = combine(parts, next, 0, own_.total);
    if (rounding_ != nullptr) rounding_->round_(sum, place + begin, FlatRounding::kAll);
    own = nodes_[0].values.narrow(0, place, lengths[static_cast<std::size_t>(group.rank())]);
    own.narrow(0, begin, count).copy_(sum);
  }
  return own.defined() ? own : nodes_[0].values.narrow(0, 0, 0);
}

void ShardSum::require_all() const {
  if (added_ == own_.count) return;
  throw Error("[ranks] a rank must add all its shards (" + std::to_string(own_.count) + ") but added " +
              std::to_string(added_));
}

}  // namespace ehrjepa::distributed
