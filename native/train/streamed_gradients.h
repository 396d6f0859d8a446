#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "distributed/flat_rounding.h"
#include "distributed/group.h"
#include "distributed/ownership.h"
#include "distributed/sections.h"
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

  /// What becomes of a sum as soon as it is known; undefined where no loss of any rank reached the parameter, on the
  /// meta device where another rank has it. Called once for each parameter, in one order on all ranks.
  using Consume = std::function<void(std::size_t parameter, const at::Tensor& gradient)>;

  /// @param leaves  in the order of the forward pass; must outlive it.
  /// @param share   one shard a rank.
  /// @param units   in the order in which they are sent, every parameter in one; empty: a bucket is sent when it and
  /// all before it are whole.
  /// @param consume absent: the sums are kept for `total`.
  StreamedGradients(const Leaves& leaves, const UpdateShare& share, const Units& units, Consume consume,
                    const std::atomic<bool>& cancelled);

  /// Backward pass of this rank's loss. Not called for an empty batch.
  void backward(const at::Tensor& loss);
  /// Sends the gradients of the next unit, which are whole.
  void send_unit();
  /// Once on every rank. Undefined where no loss of any rank reached a parameter, or its sum was consumed.
  GradientSum total();

 private:
  struct Bucket {
    /// Numbers of its parameters, and what each rank adds up of them: whole parameters, or an equal part of all.
    std::vector<std::size_t> parameters;
    std::vector<std::int64_t> lengths;
    std::vector<std::int64_t> starts;  ///< of each rank's part
    std::optional<distributed::FlatRounding> rounding;
    std::size_t missing = 0;
  };
  /// A piece of every rank's part: a parameter larger than a bucket is never whole in float32.
  struct Way {
    std::size_t bucket;
    std::int64_t begin;                ///< in each part
    std::vector<std::int64_t> counts;  ///< numbers of each
    bool is_last;
    distributed::Group::Swap swap;
  };
  void fill_buckets(const std::vector<std::size_t>& parameters);
  void divide(Bucket& bucket) const;
  void receive(std::size_t parameter, const at::Tensor& gradient);
  void send(std::size_t bucket);
  void send_piece(std::size_t bucket, const distributed::FlatTensors& values, std::int64_t begin, std::int64_t piece);
  void finish_first();
  /// Of a bucket's parameters, those whose sums this rank keeps.
  std::vector<at::Tensor> kept_sums(const Bucket& bucket) const;
  /// Whether a loss of any rank reached each of some parameters.
  std::vector<bool> reached(const std::vector<std::size_t>& parameters) const;
  void hand_over(const Bucket& bucket);
  /// A parameter's sum, of which another rank may have the numbers.
  at::Tensor sum_of(std::size_t parameter, bool is_reached) const;
  bool keeps(std::size_t parameter) const { return share_.ownership == nullptr || share_.ownership->is_own(parameter); }
  at::ScalarType travel() const { return share_.rounding ? at::kBFloat16 : at::kFloat; }

  const Leaves& leaves_;
  UpdateShare share_;
  const Consume consume_;
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
