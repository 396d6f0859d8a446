#include "api/process_group.h"

#include "api/running_call.h"
#include "distributed/group.h"
#include "distributed/roll_call.h"

namespace ehrjepa::api {

void report_failure(const GroupOptions& options, const std::string& why, const std::atomic<bool>& cancelled) {
  const RunningCall running;
  distributed::report_failure(options, why, cancelled);
}

class ProcessGroup::Implementation {
 public:
  Implementation(const GroupOptions& options, const std::atomic<bool>& cancelled) : group(options, cancelled) {}
  ~Implementation() {
    group.leave();
    if (!group.is_quiet()) (void)running.release();
  }
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  // Threads of c10d and of the watch use libtorch as long as the group lives, and those that wait in vain to the end.
  std::unique_ptr<RunningCall> running = std::make_unique<RunningCall>();
  distributed::Group group;
};

ProcessGroup::ProcessGroup(const GroupOptions& options, const std::atomic<bool>& cancelled)
    : implementation_(std::make_unique<Implementation>(options, cancelled)) {}
ProcessGroup::~ProcessGroup() = default;

std::vector<std::string> ProcessGroup::exchange(const std::string& text, const std::atomic<bool>& cancelled) {
  return implementation_->group.gather_texts(text, cancelled);
}

Traffic ProcessGroup::traffic() const { return implementation_->group.traffic(); }

std::optional<std::string> ProcessGroup::failure() const { return implementation_->group.failure(); }

void ProcessGroup::fail(const std::string& message) { implementation_->group.fail(message); }

void ProcessGroup::leave() { implementation_->group.leave(); }

distributed::Group& ProcessGroup::group() { return implementation_->group; }

}  // namespace ehrjepa::api
