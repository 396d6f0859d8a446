#pragma once
#include <cstdint>

namespace pretend {

/// What went between the host and the pretend devices since the program began.
struct Counts {
  std::int64_t ops = 0;
  std::int64_t uploads = 0;
  std::int64_t waits = 0;  ///< times that the host waited: copies to it, numbers that it read, ops that wait on a card
};

Counts counts();
void count_op();
void count_upload();
/// @throws while a `NoWaiting` lives.
void count_wait(const char* what);

/// While it lives the host may not wait for a pretend device, in any thread: what does is an error that names it.
class NoWaiting {
 public:
  NoWaiting();
  ~NoWaiting();
  NoWaiting(const NoWaiting&) = delete;
  NoWaiting& operator=(const NoWaiting&) = delete;
};

}  // namespace pretend
