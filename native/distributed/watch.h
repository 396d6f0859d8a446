#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "contract/ranks.h"
#include "distributed/roll_call.h"

namespace ehrjepa::distributed {

/// Gives a sign of life of this rank in the store twice a second, and watches those of the others, from a thread of its
/// own. The first failure that any rank finds is written into the store, and so becomes every rank's.
class Watch : public std::enable_shared_from_this<Watch> {
 public:
  /// @param store  a connection of its own.
  static std::shared_ptr<Watch> start(const GroupOptions& options, c10::intrusive_ptr<c10d::Store> store,
                                      std::vector<Card> cards);

  /// What ended the group; absent while it lives. A store that has stopped to answer is a failure of who serves it.
  std::optional<std::string> failure() const;
  /// Ends the group for all, unless something else did.
  void fail(const std::string& message);
  /// "rank 2 (process 77 on node-3)", this one.
  std::string own_name() const {
    return cards_[static_cast<std::size_t>(options_.rank)].name(static_cast<std::size_t>(options_.rank));
  }
  /// Counts the collectives that this rank has come to.
  void enter() { ++entered_; }
  /// Ranks that have not come to this rank's newest collective.
  std::string behind() const;
  /// Says that this rank leaves, and ends the thread. Who serves the store waits some seconds for the others.
  /// @return whether the thread has ended.
  bool leave();

 private:
  using Clock = std::chrono::steady_clock;
  struct Life {
    std::string beat;
    Clock::time_point changed;
    std::int64_t entered = 0;
    bool left = false;
  };
  Watch(const GroupOptions& options, c10::intrusive_ptr<c10d::Store> store, std::vector<Card> cards);
  void run();
  /// @return whether there is no more to be done.
  bool look();
  bool is_dead(std::size_t rank) const;
  /// Why this rank has ended itself: a pause between two looks that took as long as others wait for a sign of life.
  std::optional<std::string> own_pause() const;
  std::string server() const;

  const GroupOptions options_;
  const c10::intrusive_ptr<c10d::Store> store_;
  const std::vector<Card> cards_;
  mutable std::mutex mutex_;
  mutable std::condition_variable wake_;
  std::vector<Life> lives_;
  std::optional<std::string> failure_, own_failure_;
  Clock::time_point looked_, patience_;
  std::optional<Clock::time_point> paused_;  ///< while the thread waits between two looks
  std::atomic<std::int64_t> entered_{0};
  std::int64_t beats_ = 0;
  bool leaving_ = false, ended_ = false;
};

}  // namespace ehrjepa::distributed
