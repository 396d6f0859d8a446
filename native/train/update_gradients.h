#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "distributed/shard_sum.h"
#include "train/gradient_sum.h"
#include "train/update_share.h"

namespace ehrjepa::train {

/// The gradients of an update, over all its shards and ranks: the same bits on every rank, or where parameters are
/// owned on the meta device for all but their owner.
class UpdateGradients {
 public:
  /// @param leaves  must outlive it.
  UpdateGradients(const Leaves& leaves, const UpdateShare& share)
      : leaves_(leaves), share_(share), shard_(leaves), reached_(leaves.size()) {
    place_parameters();
    sum_.emplace(share.shards, rounding_ ? &*rounding_ : nullptr);
  }
  UpdateGradients(const UpdateGradients&) = delete;
  UpdateGradients& operator=(const UpdateGradients&) = delete;

  /// Of the shard that is being computed.
  GradientSum& shard() { return shard_; }
  void end_shard();
  /// Once all shards of this rank have ended. Undefined where no loss of any rank reached a parameter.
  GradientSum total(const std::atomic<bool>& cancelled);

 private:
  /// Decides where each parameter lies in the flat vector: by owner.
  void place_parameters();

  const Leaves& leaves_;
  UpdateShare share_;
  std::vector<std::int64_t> places_;
  std::int64_t numbers_ = 0;
  GradientSum shard_;
  std::optional<distributed::FlatRounding> rounding_;
  std::optional<distributed::ShardSum> sum_;
  std::vector<std::uint8_t> reached_;
};

}  // namespace ehrjepa::train
