#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <utility>
#include <vector>

#include "contract/ranks.h"
#include "contract/traffic.h"
#include "distributed/watch.h"

namespace ehrjepa::distributed {

/// The processes that train one model. Every rank makes the same calls in the same order, one at a time. A wait ends
/// when the caller cancels, when any rank fails, and after `collective_timeout`: it never hangs. Tensors may lie on any
/// device: those of CUDA travel by NCCL where the build has it, others by gloo, by way of the host.
class Group {
 public:
  /// Meets the other ranks and connects to them. Blocks until all are there.
  /// @throws RankError, Cancelled.
  Group(const GroupOptions& options, const std::atomic<bool>& cancelled);
  /// As `leave`.
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  std::int64_t rank() const { return options_.rank; }
  std::int64_t size() const { return options_.world_size; }

  /// A tensor of the same shape and dtype of every rank. @return (W, ...), in the order of the ranks.
  at::Tensor gather(const at::Tensor& own, const std::atomic<bool>& cancelled);
  /// Values of which each is one rank's, and 0 or false on all others.
  at::Tensor merge(const at::Tensor& own, const std::atomic<bool>& cancelled) { return gather(own, cancelled).sum(0); }
  /// Rows of every rank, any number of each, under one another in the order of the ranks.
  at::Tensor gather_rows(const at::Tensor& own, const std::atomic<bool>& cancelled);
  /// A text of every rank.
  std::vector<std::string> gather_texts(const std::string& own, const std::atomic<bool>& cancelled);
  /// Sends a part of a flat tensor to each rank, and gets one of each.
  /// @param parts_out, parts_in  numbers of elements, in the order of the ranks.
  at::Tensor swap(const at::Tensor& own, std::vector<std::int64_t> parts_out, std::vector<std::int64_t> parts_in,
                  const std::atomic<bool>& cancelled) {
    return finish(start_swap(own, std::move(parts_out), std::move(parts_in)), cancelled);
  }
  /// A swap that is on its way.
  struct Swap {
    at::Tensor own, all;
    at::Device device;  ///< where the result is to be
    c10::intrusive_ptr<c10d::Work> work;
  };
  /// The same in two calls, between which this rank computes. Started in one order on all ranks.
  Swap start_swap(const at::Tensor& own, std::vector<std::int64_t> parts_out, std::vector<std::int64_t> parts_in);
  at::Tensor finish(const Swap& swap, const std::atomic<bool>& cancelled);
  /// Gives all ranks the tensor of one of them; on its way until it is finished. Started in one order on all ranks.
  /// @param tensor  contiguous, of the same shape and dtype everywhere; it must not be touched meanwhile.
  struct Spread {
    at::Tensor tensor, sent;
    bool receives;
    c10::intrusive_ptr<c10d::Work> work;
  };
  Spread start_spread(const at::Tensor& tensor, std::int64_t from);
  void finish(const Spread& spread, const std::atomic<bool>& cancelled);

  /// Of this rank, since the group began. May be called by any thread.
  Traffic traffic() const {
    const std::lock_guard lock(counting_);
    return traffic_;
  }

  /// What ended the group for all; absent while it lives.
  std::optional<std::string> failure() const { return watch_->failure(); }
  /// Ends it for all. @param message  what this rank did: "was stopped".
  void fail(const std::string& message) { watch_->fail("[ranks] " + watch_->own_name() + " " + message); }
  /// Says that this rank needs the others no more. Safe to call twice.
  void leave();
  /// After that: whether no thread is left that waits for another rank, and with it uses libtorch.
  bool is_quiet() const { return quiet_; }

 private:
  /// Which of c10d's backends takes a tensor.
  c10d::Backend& backend_of(const at::Tensor& tensor) const;
  /// Whether a tensor travels by way of the host.
  bool is_staged(const at::Tensor& tensor) const;
  /// The tensor in memory that its backend reads.
  at::Tensor staged(const at::Tensor& tensor) const;
  using Start = std::function<c10::intrusive_ptr<c10d::Work>()>;
  c10::intrusive_ptr<c10d::Work> begin(const Start& start);
  void wait(const c10::intrusive_ptr<c10d::Work>& work, const std::atomic<bool>& cancelled);
  void connect(const std::vector<Card>& cards, const std::atomic<bool>& cancelled);
  /// Who is to blame for what gloo said, once the signs of life have told.
  [[noreturn]] void blame(const std::string& said);

  const GroupOptions options_;
  c10::intrusive_ptr<c10d::Store> store_;
  std::shared_ptr<Watch> watch_;
  c10::intrusive_ptr<c10d::Backend> backend_;
  c10::intrusive_ptr<c10d::Backend> cards_;  ///< between cards; null where a build has none
  bool broken_ = false, left_ = false, quiet_ = false;
  /// @param tensor  as the caller has it.
  void count(Bytes Traffic::* collective, const Bytes& bytes, const at::Tensor& tensor);
  mutable std::mutex counting_;
  Traffic traffic_;
};

}  // namespace ehrjepa::distributed
