#pragma once
#include <cstdint>

namespace pretend {

/// What went between the host and the pretend devices since the program began.
struct Counts {
  std::int64_t ops = 0;
  std::int64_t uploads = 0;
  std::int64_t pinned_uploads = 0;  ///< of those, from pinned memory and without waiting
  std::int64_t downloads = 0;       ///< to pinned memory, without waiting
  std::int64_t side_ops = 0;        ///< on other streams than the default one
  std::int64_t stream_waits = 0;    ///< of one stream for another
  std::int64_t waits = 0;  ///< times that the host waited: copies to it, numbers that it read, ops that wait on a card
};

Counts counts();
void count_op();
void count_upload();
void count_pinned_upload();
void count_download();
void count_side_op();
void count_stream_wait();
/// @throws while a `NoWaiting` lives.
void count_wait(const char* what);

void forbid_waits(bool forbid);
/// While it lives the host may not wait for a pretend device, in any thread: what does is an error that names it.
class NoWaiting {
 public:
  NoWaiting();
  ~NoWaiting();
  NoWaiting(const NoWaiting&) = delete;
  NoWaiting& operator=(const NoWaiting&) = delete;
};

}  // namespace pretend
