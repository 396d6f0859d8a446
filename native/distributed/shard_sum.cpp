#include "distributed/shard_sum.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "core/error.h"

namespace ehrjepa::distributed {
namespace {

// Numbers that are on their way together, 16 MiB: what a sum takes beside the vector itself.
constexpr std::int64_t kBucket = 1 << 22;

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
  if (added_ != own_.count) {
    throw Error("[ranks] a rank must add all its shards (" + std::to_string(own_.count) + ") but added " +
                std::to_string(added_));
  }
  if (group == nullptr) {
    std::size_t next = 0;
    return combine(nodes_, next, 0, own_.total);
  }
  const std::int64_t ranks = group->size();
  const at::Tensor result = nodes_[0].values;
  const std::int64_t elements = result.numel();
  const auto own_nodes = static_cast<std::int64_t>(nodes_.size());
  for (std::int64_t begin = 0; begin < elements; begin += kBucket) {
    const std::int64_t length = std::min(kBucket, elements - begin);
    const std::int64_t part = (length + ranks - 1) / ranks;
    // What each rank sums: a part of every node of this one. The last parts may be short, and are padded.
    const at::Tensor sent = at::empty({ranks, own_nodes, part}, result.options());
    for (std::int64_t to = 0; to < ranks; ++to) {
      const std::int64_t from = std::min(length, to * part);
      const std::int64_t count = std::min(length, from + part) - from;
      for (std::int64_t node = 0; node < own_nodes; ++node) {
        const at::Tensor place = sent[to][node];
        place.narrow(0, 0, count).copy_(nodes_[static_cast<std::size_t>(node)].values.narrow(0, begin + from, count));
        place.narrow(0, count, part - count).zero_();
      }
    }
    std::vector<std::int64_t> parts_in;
    std::vector<Node> parts;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const auto theirs = subtrees(shards_of(rank, ranks, own_.total));
      parts_in.push_back(static_cast<std::int64_t>(theirs.size()) * part);
      for (const auto& [first, count] : theirs) parts.push_back({first, count, {}});
    }
    const at::Tensor got =
        group->swap(sent.flatten(), std::vector<std::int64_t>(static_cast<std::size_t>(ranks), own_nodes * part),
                    parts_in, cancelled);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      parts[i].values = got.narrow(0, static_cast<std::int64_t>(i) * part, part);
    }
    std::size_t next = 0;
    const at::Tensor sum = combine(parts, next, 0, own_.total);
    result.narrow(0, begin, length).copy_(group->gather(sum, cancelled).flatten().narrow(0, 0, length));
  }
  return result;
}

}  // namespace ehrjepa::distributed
