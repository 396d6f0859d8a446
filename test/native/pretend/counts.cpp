#include "native/pretend/counts.h"

#include <c10/util/Exception.h>

#include <atomic>

namespace pretend {
namespace {

std::atomic<std::int64_t> ops{0}, uploads{0}, waits{0};
std::atomic<int> forbidden{0};

}  // namespace

Counts counts() { return {ops, uploads, waits}; }
void count_op() { ++ops; }
void count_upload() { ++uploads; }
void count_wait(const char* what) {
  TORCH_CHECK(forbidden == 0, "[pretend] the host must not wait for the device here but does in ", what);
  ++waits;
}

NoWaiting::NoWaiting() { ++forbidden; }
NoWaiting::~NoWaiting() { --forbidden; }

}  // namespace pretend
