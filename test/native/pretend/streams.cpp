#include "native/pretend/streams.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "native/pretend/counts.h"

namespace pretend {
namespace {

/// A copy between pinned memory and a device that the host has not waited for.
struct Pending {
  char* host;
  std::vector<char> bytes;
  Work work;
  bool brings;
};

struct State {
  std::recursive_mutex mutex;
  std::array<Clock, stream_count> clocks{};  ///< what each stream knows
  std::array<Clock, stream_count> let_go{};  ///< uses of memory that was freed, by its home
  std::array<std::size_t, 2> last_new{};
  std::int64_t left_out = -1;
  std::map<const char*, std::size_t> pinned;
  std::vector<Pending> pending;
};
/// Never destroyed: memory may be freed after static destructors.
State& state() {
  static State* const instance = new State;
  return *instance;
}

thread_local std::array<std::size_t, 2> streams_of_thread{};
/// What the host's thread has waited for.
thread_local Clock known_to_host{};

std::size_t slot_of(const c10::Stream& stream) {
  return static_cast<std::size_t>(stream.device_index()) * streams_per_device + static_cast<std::size_t>(stream.id());
}
c10::Stream stream_of(c10::DeviceIndex device, std::size_t number) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(c10::DeviceType::PrivateUse1, device),
                     static_cast<c10::StreamId>(number));
}
void merge(Clock& into, const Clock& from) {
  for (std::size_t i = 0; i < stream_count; ++i) into[i] = std::max(into[i], from[i]);
}

struct Event {
  Clock clock{};
};

/// Ends the copies that the host has waited for.
void end_copies(State& all) {
  std::string changed;
  std::erase_if(all.pending, [&](const Pending& copy) {
    if (known_to_host[copy.work.stream] < copy.work.number) return false;
    if (copy.brings) {
      std::memcpy(copy.host, copy.bytes.data(), copy.bytes.size());
    } else if (std::memcmp(copy.host, copy.bytes.data(), copy.bytes.size()) != 0) {
      changed = "[pretend] pinned memory was changed before its copy to the device was through";
    }
    return true;
  });
  TORCH_CHECK(changed.empty(), changed);
}

void host_knows(const Clock& clock) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  merge(known_to_host, clock);
  end_copies(all);
}

void free_pinned(void* data) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  const auto found = all.pinned.find(static_cast<char*>(data));
  if (found == all.pinned.end()) return;
  // A card's allocator keeps the block until the copy is through.
  std::erase_if(all.pending, [&](const Pending& copy) {
    return copy.host >= found->first && copy.host < found->first + found->second;
  });
  all.pinned.erase(found);
  std::free(data);
}

class PinnedAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &free_pinned, c10::Device(c10::DeviceType::CPU)};
    State& all = state();
    const std::lock_guard lock(all.mutex);
    void* const data = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    all.pinned.emplace(static_cast<char*>(data), bytes);
    return {data, data, &free_pinned, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned; }
  void copy_data(void* target, const void* source, std::size_t bytes) const override {
    std::memcpy(target, source, bytes);
  }
};

}  // namespace

c10::Stream current_stream(c10::DeviceIndex device) {
  return stream_of(device, streams_of_thread.at(static_cast<std::size_t>(device)));
}

c10::Stream exchange_stream(c10::Stream stream) {
  const c10::Stream before = current_stream(stream.device_index());
  streams_of_thread.at(static_cast<std::size_t>(stream.device_index())) = static_cast<std::size_t>(stream.id());
  return before;
}

c10::Stream new_stream(c10::DeviceIndex device) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  std::size_t& last = all.last_new.at(static_cast<std::size_t>(device));
  last = last % (streams_per_device - 1) + 1;
  return stream_of(device, last);
}

Work next_work(c10::DeviceIndex device) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  const std::size_t stream = slot_of(current_stream(device));
  if (stream % streams_per_device != 0) count_side_op();
  Clock& clock = all.clocks[stream];
  merge(clock, known_to_host);
  return {stream, ++clock[stream]};
}

Uses uses_of_new_block(c10::DeviceIndex device) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  Uses uses;
  uses.home = slot_of(current_stream(device));
  uses.written.stream = uses.home;
  uses.read = all.let_go[uses.home];
  return uses;
}

void use(Uses& uses, const Work& work, Access access, const char* what) {
  if (access == Access::kNone) return;
  State& all = state();
  const std::lock_guard lock(all.mutex);
  const Clock& known = all.clocks[work.stream];
  TORCH_CHECK(uses.written.number <= known[uses.written.stream], "[pretend] ", what, " on stream ", work.stream,
              " uses what stream ", uses.written.stream, " wrote without waiting for it");
  if (access == Access::kRead) {
    uses.read[work.stream] = std::max(uses.read[work.stream], work.number);
    return;
  }
  for (std::size_t other = 0; other < stream_count; ++other) {
    TORCH_CHECK(uses.read[other] <= known[other], "[pretend] ", what, " on stream ", work.stream,
                " writes what stream ", other, " may still read");
  }
  uses.written = work;
}

void lend(Uses& uses, const c10::Stream& stream) { uses.lent[slot_of(stream)] = true; }

void let_go(const Uses& uses) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  Clock last = uses.read;
  last[uses.written.stream] = std::max(last[uses.written.stream], uses.written.number);
  for (std::size_t i = 0; i < stream_count; ++i) {
    if (uses.lent[i]) last[i] = 0;
  }
  merge(all.let_go[uses.home], last);
}

void* record(void* event, const c10::Stream& stream) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  auto* const recorded = event == nullptr ? new Event : static_cast<Event*>(event);
  recorded->clock = all.clocks[slot_of(stream)];
  return recorded;
}
void destroy_event(void* event) { delete static_cast<Event*>(event); }

void wait_for(void* event, const c10::Stream& stream) {
  if (event == nullptr) return;
  State& all = state();
  const std::lock_guard lock(all.mutex);
  count_stream_wait();
  if (all.left_out >= 0 && all.left_out-- == 0) return;
  merge(all.clocks[slot_of(stream)], static_cast<Event*>(event)->clock);
}

void host_waits_for(void* event) {
  if (event != nullptr) host_knows(static_cast<Event*>(event)->clock);
}
void host_waits_for(const c10::Stream& stream) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  host_knows(all.clocks[slot_of(stream)]);
}
void host_waits_for_device(c10::DeviceIndex device) {
  for (std::size_t i = 0; i < streams_per_device; ++i) host_waits_for(stream_of(device, i));
}

WithoutWait::WithoutWait(std::int64_t number) { state().left_out = number; }
WithoutWait::~WithoutWait() { state().left_out = -1; }

c10::Allocator& pinned_allocator() {
  static PinnedAllocator* const instance = new PinnedAllocator;
  return *instance;
}

bool is_pinned(const void* data) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  const auto* const byte = static_cast<const char*>(data);
  const auto behind = all.pinned.upper_bound(byte);
  if (behind == all.pinned.begin()) return false;
  const auto& [begin, size] = *std::prev(behind);
  return byte < begin + size;
}

void bring_later(void* target, const void* bytes, std::size_t size, const Work& work) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  const auto* const first = static_cast<const char*>(bytes);
  all.pending.push_back({static_cast<char*>(target), {first, first + size}, work, true});
  std::memset(target, 0xff, size);
}

void is_taken(const void* source, std::size_t size, const Work& work) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  char* const first = static_cast<char*>(const_cast<void*>(source));
  all.pending.push_back({first, {first, first + size}, work, false});
}

}  // namespace pretend
