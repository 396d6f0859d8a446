#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <vector>

#include "distributed/group.h"
#include "train/gradient_hooks.h"
#include "train/gradient_sum.h"
#include "train/leaves.h"
#include "train/update_share.h"

namespace ehrjepa::train {

/// The gradients of an update of which each rank computes one batch: added up over the ranks in buckets, in the order
/// in which the backward pass makes them and while it goes on. The same bits as of `UpdateGradients`. Where parameters
/// are owned a rank keeps the gradients of its own alone.
class StreamedGradients {
 public:
  /// Parameters that are sent when the caller says so.
  using Units = std::vector<std::vector<std::size_t>>;

  /// @param leaves  in the order of the forward pass; must outlive it.
  /// @param share   one shard a rank.
  /// @param units   in the order in which they are sent, every parameter in one; empty: a bucket is sent when it and
  /// all before it are whole.
  StreamedGradients(const Leaves& leaves, const UpdateShare& share, const Units& units,
                    const std::atomic<bool>& cancelled);

  /// Backward pass of this rank's loss. Not called for an empty batch.
  void backward(const at::Tensor& loss);
  /// Sends the gradients of the next unit, which are whole.
  void send_unit();
  /// Once on every rank. Undefined where no loss of any rank reached a parameter.
  GradientSum total();

 private:
  struct Bucket {
    /// Numbers of its parameters, and what each rank adds up of them: whole parameters, or an equal part of all.
    std::vector<std::size_t> parameters;
    std::vector<std::int64_t> lengths;
    std::size_t missing = 0;
  };
  struct Way {
    std::size_t bucket;
    distributed::Group::Swap swap;
  };
  void fill_buckets(const std::vector<std::size_t>& parameters);
  void divide(Bucket& bucket) const;
  void receive(std::size_t parameter, const at::Tensor& gradient);
  void send(std::size_t bucket);
  void finish_first();

  const Leaves& leaves_;
  UpdateShare share_;
  const std::atomic<bool>& cancelled_;
  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;
  std::deque<std::size_t> ends_;  ///< of the units that are to be sent, the bucket behind each
  const bool in_units_;
  std::vector<at::Tensor> waiting_;  ///< gradients of buckets that are not whole yet
  std::vector<at::Tensor> sums_;     ///< by parameter
  std::vector<std::uint8_t> reached_;
  std::size_t next_ = 0;  ///< bucket to be sent
  std::deque<Way> under_way_;
};

}  // namespace ehrjepa::train
