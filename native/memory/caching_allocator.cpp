#include "memory/caching_allocator.h"

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "core/error.h"

namespace ehrjepa::memory {
namespace {

/// Lies in front of the data, `alignment` bytes before it.
struct Header {
  CachingAllocator* owner;  ///< null: a small block, which is not kept
  std::size_t size;         ///< of the block, header included
};
constexpr std::size_t alignment = 64;
static_assert(sizeof(Header) <= alignment);

constexpr std::size_t smallest = std::size_t{64} << 10;
constexpr std::size_t page = std::size_t{4} << 10;
constexpr std::size_t huge_page = std::size_t{2} << 20;
/// From this size on huge pages waste little of a block.
constexpr std::size_t large = 2 * huge_page;

std::size_t round_up(std::size_t size, std::size_t unit) { return (size + unit - 1) / unit * unit; }

/// Rounded up by at most a thirty-second, so that batches of nearly the same length find each other's blocks.
std::size_t block_size(std::size_t needed) { return round_up(needed, std::max(page, std::bit_floor(needed) / 32)); }

/// Null when there is no memory.
void* from_system(std::size_t size) {
  void* block = nullptr;
  if (posix_memalign(&block, size >= large ? huge_page : alignment, size) != 0) return nullptr;
#ifdef __linux__
  // A fault for each 2 MiB instead of each 4 KiB. Advice: its failure changes nothing.
  if (size >= large) madvise(block, size, MADV_HUGEPAGE);
#endif
  return block;
}

std::atomic<CachingAllocator*> in_use{nullptr};

}  // namespace

at::DataPtr CachingAllocator::allocate(std::size_t bytes) {
  const c10::Device cpu(c10::DeviceType::CPU);
  if (bytes == 0) return {nullptr, nullptr, &delete_data, cpu};
  const std::size_t needed = bytes + alignment;
  Header header{nullptr, needed};
  void* block = nullptr;
  if (bytes < smallest) {
    block = from_system(needed);
  } else {
    header = {this, block_size(needed)};
    block = take(header.size);
    // An idle block may be larger than was asked for.
    if (block != nullptr) header.size = static_cast<Header*>(block)->size;
  }
  if (block == nullptr) {
    throw Error("[memory] there must be room for a tensor of " + std::to_string(bytes) +
                " bytes but there is none; take a smaller batch or model");
  }
  std::memcpy(block, &header, sizeof(header));
  void* data = static_cast<std::byte*>(block) + alignment;
  return {data, data, &delete_data, cpu};
}

at::DeleterFnPtr CachingAllocator::raw_deleter() const { return &delete_data; }

void CachingAllocator::copy_data(void* target, const void* source, std::size_t bytes) const {
  default_copy_data(target, source, bytes);
}

void* CachingAllocator::take(std::size_t size) {
  const std::lock_guard lock(mutex_);
  const auto fitting = idle_.lower_bound(size);
  void* block = nullptr;
  if (fitting != idle_.end() && fitting->first <= size + size / 4) {
    size = fitting->first;
    block = fitting->second.block;
    use_.cached -= size;
    idle_.erase(fitting);
  } else {
    const std::size_t most = std::max(use_.peak, use_.live + size);
    while (!idle_.empty() && use_.live + use_.cached + size > most + most / 16) drop_oldest();
    block = from_system(size);
    while (block == nullptr && !idle_.empty()) {
      drop_oldest();
      block = from_system(size);
    }
    if (block == nullptr) return nullptr;
  }
  use_.live += size;
  use_.peak = std::max(use_.peak, use_.live);
  static_cast<Header*>(block)->size = size;
  return block;
}

void CachingAllocator::put_back(void* block, std::size_t size) {
  const std::lock_guard lock(mutex_);
  use_.live -= size;
  use_.cached += size;
  idle_.emplace(size, Idle{block, clock_++});
}

void CachingAllocator::drop_oldest() {
  auto oldest = idle_.begin();
  for (auto entry = idle_.begin(); entry != idle_.end(); ++entry) {
    if (entry->second.since < oldest->second.since) oldest = entry;
  }
  std::free(oldest->second.block);
  use_.cached -= oldest->first;
  idle_.erase(oldest);
}

void CachingAllocator::delete_data(void* data) {
  if (data == nullptr) return;
  void* block = static_cast<std::byte*>(data) - alignment;
  Header header{};
  std::memcpy(&header, block, sizeof(header));
  if (header.owner == nullptr) {
    std::free(block);
  } else {
    header.owner->put_back(block, header.size);
  }
}

void CachingAllocator::release() {
  const std::lock_guard lock(mutex_);
  while (!idle_.empty()) {
    std::free(idle_.begin()->second.block);
    idle_.erase(idle_.begin());
  }
  use_.cached = 0;
  use_.peak = use_.live;
}

CachingAllocator::Use CachingAllocator::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

void use_caching_allocator() {
#ifndef __SANITIZE_ADDRESS__
  static std::once_flag once;
  std::call_once(once, [] {
    // Never destroyed: tensors of static lifetime free their memory after main.
    auto* allocator = new CachingAllocator;
    c10::SetCPUAllocator(allocator);
    in_use = allocator;
  });
#endif
}

void release_cached_memory() {
  if (CachingAllocator* allocator = in_use) allocator->release();
}

}  // namespace ehrjepa::memory
