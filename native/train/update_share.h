#pragma once
#include <cstdint>
#include <optional>

#include "contract/ranks.h"

namespace ehrjepa::distributed {
class Group;
class Ownership;
}  // namespace ehrjepa::distributed

namespace ehrjepa::train {

/// Which part of an update this process computes, and with whom.
struct UpdateShare {
  ShardRange shards;
  distributed::Group* group = nullptr;
  /// Whose the gradients are; null: every rank gets all of them.
  const distributed::Ownership* ownership = nullptr;

  /// Seed and step of the rounding of gradients that travel in bfloat16; absent: they do in float32.
  struct Rounding {
    std::uint64_t seed;
    std::uint32_t step;
  };
  std::optional<Rounding> rounding = std::nullopt;

  /// Whether the update is one sum over its batches, here.
  bool is_whole() const { return shards.total == 1 && group == nullptr; }
};

}  // namespace ehrjepa::train
