#pragma once
#include "contract/ranks.h"

namespace ehrjepa::distributed {
class Group;
}

namespace ehrjepa::train {

/// Which part of an update this process computes, and with whom.
struct UpdateShare {
  ShardRange shards;
  distributed::Group* group = nullptr;

  /// Whether the update is one sum over its batches, here.
  bool is_whole() const { return shards.total == 1 && group == nullptr; }
};

}  // namespace ehrjepa::train
