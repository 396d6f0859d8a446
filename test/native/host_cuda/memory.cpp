// Every byte that a kernel may touch, and by whom and when it was touched last.
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <sstream>
#include <vector>

#include "emulator.h"
#include "engine.h"

// Of the program, from the linker: shared memory that is declared in a kernel is a static that starts as zero.
extern "C" {
extern char __executable_start, __bss_start, _end;
}

namespace host_cuda {
namespace {

constexpr std::size_t granule = 2;  ///< bytes that are watched together; no kernel has smaller elements

/// Of one granule.
struct Cell {
  Moment write, read;
  bool several_lanes = false;  ///< of one warp have read it at that moment
  bool several_warps = false;
  bool under_way = false;  ///< an asynchronous copy has yet to bring it
};

struct Region {
  const char* begin;
  std::size_t bytes;
  bool shared, readable, writable;
  std::vector<Cell> cells;

  bool holds(const char* address) const { return address >= begin && address < begin + bytes; }
};

std::vector<Region> regions;                                             ///< global
alignas(128) char dynamic_bytes_of_block[largest_dynamic_shared] = {1};  // not where static shared memory is looked for
Region dynamic_region{dynamic_bytes_of_block, 0, true, false, true, {}};
Region static_region{&__bss_start, 0, true, false, true, {}};

char* stacks() {
  static char* const arena = static_cast<char*>(mmap(nullptr, largest_block * stack_bytes, PROT_READ | PROT_WRITE,
                                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  return arena;
}

bool is_image(const char* address) { return address >= &__executable_start && address < &_end; }

/// The stack of the thread that launches: what holds a kernel's arguments.
bool is_stack_of_launch(const char* address) {
  static const char* begin = nullptr;
  static std::size_t bytes = 0;
  if (begin == nullptr) {
    pthread_attr_t attributes;
    void* start = nullptr;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &start, &bytes);
    pthread_attr_destroy(&attributes);
    begin = static_cast<const char*>(start);
  }
  return address >= begin && address < begin + bytes;
}

Region* region_of(const char* address) {
  if (dynamic_region.holds(address)) return &dynamic_region;
  if (address >= &__bss_start && address < &_end) return &static_region;
  for (Region& region : regions) {
    if (region.holds(address)) return &region;
  }
  return nullptr;
}

std::string text_of(const void* address, std::size_t bytes, Access access) {
  std::ostringstream text;
  text << (access == Access::kRead ? "a read of " : "a write of ") << bytes << " bytes at " << address;
  const auto distance = [&](const Region& region, const char* name) {
    const auto* const at = static_cast<const char*>(address);
    if (at >= region.begin && at <= region.begin + region.bytes + 4096) {
      text << " (" << name << " memory, byte " << at - region.begin << " of " << region.bytes << ")";
    }
  };
  distance(dynamic_region, "dynamic shared");
  for (const Region& region : regions) distance(region, "global");
  return text.str();
}

bool same_block(const Moment& a, const Moment& b) { return a.block == b.block; }
unsigned warp_of(const Moment& moment) { return moment.thread / 32; }

/// True when the earlier access comes before the one of now, whatever the schedule.
bool ordered(const Moment& earlier, const Moment& current, bool shared) {
  if (earlier.block < first_block_of_launch()) return true;
  if (!same_block(earlier, current)) return shared;  // a block has its own
  if (earlier.thread == current.thread || earlier.barrier != current.barrier) return true;
  return warp_of(earlier) == warp_of(current) && earlier.warp_barrier != current.warp_barrier;
}

bool reads_ordered(const Cell& cell, const Moment& current, bool shared) {
  if (cell.read.block < first_block_of_launch()) return true;
  if (same_block(cell.read, current) && cell.read.barrier == current.barrier) {
    if (cell.several_warps) return false;
    if (cell.several_lanes) {
      return warp_of(cell.read) == warp_of(current) && cell.read.warp_barrier != current.warp_barrier;
    }
  }
  return ordered(cell.read, current, shared);
}

void note_read(Cell& cell, const Moment& current) {
  const bool together = same_block(cell.read, current) && cell.read.barrier == current.barrier;
  if (!together) {
    cell.several_lanes = cell.several_warps = false;
  } else if (warp_of(cell.read) != warp_of(current)) {
    cell.several_warps = true;
  } else if (cell.read.thread != current.thread) {
    cell.several_lanes = true;
  }
  cell.read = current;
}

bool written(const Region& region, const Cell& cell, const Moment& current) {
  if (region.shared) return cell.write.block == current.block;
  return region.readable || cell.write.block != 0;
}

void touch_cells(Region& region, const char* address, std::size_t bytes, Access access) {
  const auto first = static_cast<std::size_t>(address - region.begin) / granule;
  const auto last = static_cast<std::size_t>(address - region.begin + static_cast<std::ptrdiff_t>(bytes) - 1) / granule;
  const Moment current = now();
  for (std::size_t i = first; i <= last; ++i) {
    Cell& cell = region.cells[i];
    if (cell.under_way && same_block(cell.write, current)) {
      fail(text_of(address, bytes, access) + " meets an asynchronous copy that has not been waited for");
    }
    if (access == Access::kRead) {
      if (!written(region, cell, current)) fail(text_of(address, bytes, access) + ", which nothing has written");
      if (cell.write.block != 0 && !ordered(cell.write, current, region.shared)) {
        fail("race: " + text_of(address, bytes, access) + ", which thread " + std::to_string(cell.write.thread) +
             " writes without a barrier between");
      }
      note_read(cell, current);
    } else {
      const bool after_write = cell.write.block == 0 || ordered(cell.write, current, region.shared);
      if (!after_write || !reads_ordered(cell, current, region.shared)) {
        const unsigned other = after_write ? cell.read.thread : cell.write.thread;
        fail("race: " + text_of(address, bytes, access) + ", which thread " + std::to_string(other) +
             (after_write ? " reads" : " writes") + " without a barrier between");
      }
      cell.write = current;
      cell.under_way = false;
    }
  }
}

}  // namespace

char* stack_of(unsigned thread) { return stacks() + thread * stack_bytes; }

bool is_stack(const void* address) {
  const auto* const at = static_cast<const char*>(address);
  return at >= stacks() && at < stacks() + largest_block * stack_bytes;
}

char* dynamic_shared() { return dynamic_bytes_of_block; }

void begin_launch(std::size_t dynamic_bytes) {
  dynamic_region.bytes = dynamic_bytes;
  if (dynamic_region.cells.empty()) dynamic_region.cells.resize(largest_dynamic_shared / granule);
  static_region.bytes = static_cast<std::size_t>(&_end - &__bss_start);
  if (static_region.cells.empty()) static_region.cells.resize(static_region.bytes / granule + 1);
}

void touch(const void* address, std::size_t bytes, Access access, const void* code) {
  if (!in_thread() || is_stack(address)) return;
  const auto* const at = static_cast<const char*>(address);
  Region* const region = region_of(at);
  if (at >= dynamic_bytes_of_block && at < dynamic_bytes_of_block + largest_dynamic_shared && region == nullptr) {
    fail(text_of(address, bytes, access) + " goes beyond the end of its memory");
  }
  if (region == nullptr) {
    if (access == Access::kRead && (is_image(at) || is_stack_of_launch(at))) return;
    fail(text_of(address, bytes, access) + " is outside of the memory that the kernel was given");
  }
  if (at + bytes > region->begin + region->bytes) {
    fail(text_of(address, bytes, access) + " goes beyond the end of its memory");
  }
  if (access == Access::kWrite && !region->writable) fail(text_of(address, bytes, access) + ", which may only be read");
  touch_cells(*region, at, bytes, access);
  if (region->shared) use_banks(address, bytes, code);
}

void reserve(const void* shared, std::size_t bytes) {
  const auto* const at = static_cast<const char*>(shared);
  Region* const region = region_of(at);
  if (region == nullptr || !region->shared) fail("an asynchronous copy must go to shared memory");
  touch(shared, bytes, Access::kWrite, nullptr);
  const auto first = static_cast<std::size_t>(at - region->begin) / granule;
  for (std::size_t i = first; i < first + bytes / granule; ++i) region->cells[i].under_way = true;
}

void arrive(void* shared, std::size_t bytes) {
  const auto* const at = static_cast<const char*>(shared);
  Region* const region = region_of(at);
  const auto first = static_cast<std::size_t>(at - region->begin) / granule;
  for (std::size_t i = first; i < first + bytes / granule; ++i) {
    region->cells[i].under_way = false;
    region->cells[i].write = now();
  }
}

Memory::~Memory() { regions.resize(regions.size() - count_); }

void Memory::add(const void* begin, std::size_t bytes, bool readable, bool writable) {
  if (bytes == 0) return;
  regions.push_back({static_cast<const char*>(begin), bytes, false, readable, writable, {}});
  regions.back().cells.resize(bytes / granule + 1);
  ++count_;
}
void Memory::reads(const void* begin, std::size_t bytes) { add(begin, bytes, true, false); }
void Memory::writes(void* begin, std::size_t bytes) { add(begin, bytes, false, true); }
void Memory::updates(void* begin, std::size_t bytes) { add(begin, bytes, true, true); }

}  // namespace host_cuda
