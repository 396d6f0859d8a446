#include <c10/cuda/CUDAFunctions.h>
#include <c10/util/Exception.h>

#include <string>

#include "memory/device.h"
#include "native/card/waits.h"
#include "native/check.h"

namespace card {
namespace {

/// Counts libtorch's warnings of calls that wait; passes the others on. Threads of the backward pass hand theirs over.
class CountsWaits : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    if (warning.msg().find("synchroniz") != std::string::npos) {
      ++count;
    } else {
      c10::WarningHandler::process(warning);
    }
  }
  std::int64_t count = 0;
};

}  // namespace

void require() {
  if (ehrjepa::memory::devices().list.empty()) throw check::Skipped("no CUDA device can be used here");
}

bool has_time_for_all() { return true; }

std::int64_t waits_in(const std::function<void()>& run) {
  struct Warned {
    c10::cuda::SyncDebugMode before = c10::cuda::warning_state().get_sync_debug_mode();
    Warned() { c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_WARN); }
    ~Warned() { c10::cuda::warning_state().set_sync_debug_mode(before); }
  };
  CountsWaits counts;
  const c10::WarningUtils::WarningHandlerGuard guard(&counts);
  const Warned warned;
  run();
  return counts.count;
}

}  // namespace card
