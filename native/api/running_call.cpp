#include "api/running_call.h"

#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>

namespace ehrjepa::api {
namespace {

// Never destroyed: threads use it until the process has ended.
struct State {
  std::mutex mutex;
  std::condition_variable never;
  int running = 0;
  bool leaving = false;
  bool checked = false;
  int code = 0;
};
State& state() {
  static State* const instance = new State;
  return *instance;
}

void leave(int code) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.leaving = true;
  if (s.running > 0) _exit(code);
}

void add_handler() {
#ifdef __GLIBC__
  on_exit([](int code, void*) { leave(code); }, nullptr);
#else
  std::atexit([] { leave(state().code); });
#endif
}

}  // namespace

RunningCall::RunningCall() {
  State& s = state();
  std::unique_lock lock(s.mutex);
  s.never.wait(lock, [&] { return !s.leaving; });
  ++s.running;
  if (!s.checked) add_handler();
  s.checked = true;
}

RunningCall::~RunningCall() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  --s.running;
}

void check_at_exit(int code) {
  state().code = code;
  add_handler();
}

}  // namespace ehrjepa::api
