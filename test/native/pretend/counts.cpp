#include "native/pretend/counts.h"

#include <c10/util/Exception.h>

#include <atomic>

namespace pretend {
namespace {

std::atomic<std::int64_t> ops{0}, uploads{0}, pinned_uploads{0}, downloads{0}, side_ops{0}, stream_waits{0}, waits{0};
std::atomic<int> forbidden{0};

}  // namespace

Counts counts() { return {ops, uploads, pinned_uploads, downloads, side_ops, stream_waits, waits}; }
void count_op() { ++ops; }
void count_upload() { ++uploads; }
void count_pinned_upload() { ++pinned_uploads; }
void count_download() { ++downloads; }
void count_side_op() { ++side_ops; }
void count_stream_wait() { ++stream_waits; }
void count_wait(const char* what) {
  TORCH_CHECK(forbidden == 0, "[pretend] the host must not wait for the device here but does in ", what);
  ++waits;
}

void forbid_waits(bool forbid) { forbidden += forbid ? 1 : -1; }

NoWaiting::NoWaiting() { forbid_waits(true); }
NoWaiting::~NoWaiting() { forbid_waits(false); }

}  // namespace pretend
