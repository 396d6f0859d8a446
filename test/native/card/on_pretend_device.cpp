#include "native/card/waits.h"
#include "native/pretend/counts.h"

namespace card {

void require() {}
bool has_time_for_all() { return false; }

std::int64_t waits_in(const std::function<void()>& run) {
  const std::int64_t before = pretend::counts().waits;
  run();
  return pretend::counts().waits - before;
}

}  // namespace card
