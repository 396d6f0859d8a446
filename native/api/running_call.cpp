#include "api/running_call.h"

#include <unistd.h>

#include <bit>
#include <condition_variable>
#include <cstdint>
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
  std::uint64_t calls = 0;
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
  // What a call sets up, libtorch destroys before an earlier handler runs: calls 1, 2, 4, 8 ... add a later one. Nearly
  // all is set up by the first, and the list of handlers stays short.
  if (std::has_single_bit(++s.calls)) add_handler();
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
