#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "contract/ranks.h"
#include "contract/traffic.h"

namespace ehrjepa::distributed {
class Group;
}

namespace ehrjepa::api {

/// Tells those that a process would have met why it does not join them.
void report_failure(const GroupOptions& options, const std::string& why, const std::atomic<bool>& cancelled);

/// The processes that train one model together. Every rank makes the same calls in the same order, those of its
/// engine's steps among them, one at a time.
class ProcessGroup {
 public:
  /// Meets the others; blocks until all have come.
  ProcessGroup(const GroupOptions& options, const std::atomic<bool>& cancelled);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  /// A text of every rank, in their order.
  std::vector<std::string> exchange(const std::string& text, const std::atomic<bool>& cancelled);
  /// What this rank has sent and got since it began. May be called by any thread.
  Traffic traffic() const;
  /// What ended the group for all; absent while it lives. May be called by any thread.
  std::optional<std::string> failure() const;
  /// Ends it for all. May be called by any thread. @param message  what this rank did: "was stopped".
  void fail(const std::string& message);
  /// Says that this rank needs the others no more; rank 0 waits some seconds for them.
  void leave();

  /// For the engine.
  distributed::Group& group();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ehrjepa::api
