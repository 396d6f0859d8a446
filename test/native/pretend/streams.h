#pragma once
#include <c10/core/Allocator.h>
#include <c10/core/Stream.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

/// The order of what the pretend devices are given. They compute at once, and so in the order of the calls; what a card
/// could do in another order, because no stream waits for the other, is an error all the same.
namespace pretend {

constexpr std::size_t streams_per_device = 8;
constexpr std::size_t stream_count = 2 * streams_per_device;

/// How much of each stream is known to be done.
using Clock = std::array<std::uint64_t, stream_count>;

c10::Stream current_stream(c10::DeviceIndex device);
c10::Stream exchange_stream(c10::Stream stream);
/// Another than the last one that was asked for; never the default stream.
c10::Stream new_stream(c10::DeviceIndex device);

/// A piece of work on a stream.
struct Work {
  std::size_t stream;
  std::uint64_t number;
};
/// The next one on the thread's stream.
Work next_work(c10::DeviceIndex device);

enum class Access { kNone, kRead, kWrite };

/// Who has used a block of memory, and whose it is.
struct Uses {
  std::size_t home = 0;  ///< the stream for which it was allocated
  Work written{};
  Clock read{};
  std::array<bool, stream_count> lent{};  ///< streams that the allocator waits for before it gives the block out again
};
/// Of a block that is allocated now: what used the memory of blocks before it counts as having used it.
Uses uses_of_new_block(c10::DeviceIndex device);
/// @throws when the work may come before what it needs, or after what needs the block as it was.
void use(Uses& uses, const Work& work, Access access, const char* what);
void lend(Uses& uses, const c10::Stream& stream);
void let_go(const Uses& uses);

/// Events. @return what is to be destroyed.
void* record(void* event, const c10::Stream& stream);
void destroy_event(void* event);
void wait_for(void* event, const c10::Stream& stream);
void host_waits_for(void* event);
void host_waits_for(const c10::Stream& stream);
void host_waits_for_device(c10::DeviceIndex device);

/// While it lives one wait of a stream for another is left out: that with this number, from 0, among those to come.
class WithoutWait {
 public:
  explicit WithoutWait(std::int64_t number);
  ~WithoutWait();
  WithoutWait(const WithoutWait&) = delete;
  WithoutWait& operator=(const WithoutWait&) = delete;
};

/// Pinned memory of the host. What a copy without waiting brings lies there when the host has waited for it; until then
/// every byte is 0xff. What such a copy takes from there must stay as it is until the host has waited.
c10::Allocator& pinned_allocator();
bool is_pinned(const void* data);
/// @param bytes  what the copy brings.
void bring_later(void* target, const void* bytes, std::size_t size, const Work& work);
void is_taken(const void* source, std::size_t size, const Work& work);

}  // namespace pretend
