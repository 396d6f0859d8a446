#pragma once
#include <c10/core/Allocator.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace ehrjepa::memory {

/// Keeps the memory of freed CPU tensors and hands it out again, instead of giving it back after each op. A training
/// step frees and takes the same gigabytes over and over; the page faults of that were up to 40 % of its time
/// (docs/adr/0006).
///
/// Blocks of 64 KiB and more are kept when they are freed, and given to the next tensor that fills at least four fifths
/// of one. What is held, in use or idle, never exceeds seventeen sixteenths of the most that was in use at one time;
/// the blocks that have been idle longest go first. Thread-safe.
class CachingAllocator final : public at::Allocator {
 public:
  struct Use {
    std::size_t live;    ///< bytes in blocks that tensors use; blocks too small to be kept do not count
    std::size_t cached;  ///< bytes in idle blocks
    std::size_t peak;    ///< highest `live` since the last release
  };

  at::DataPtr allocate(std::size_t bytes) override;
  at::DeleterFnPtr raw_deleter() const override;
  void copy_data(void* target, const void* source, std::size_t bytes) const override;

  /// Gives idle blocks back to the system.
  void release();
  Use use() const;

 private:
  struct Idle {
    void* block;
    std::uint64_t since;
  };

  /// A block with a header in front, from the idle ones or the system.
  void* take(std::size_t size);
  void put_back(void* block, std::size_t size);
  void drop_oldest();
  static void delete_data(void* data);

  mutable std::mutex mutex_;
  std::multimap<std::size_t, Idle> idle_;  ///< by size
  Use use_{};
  std::uint64_t clock_ = 0;
};

/// Installs one such allocator for all CPU tensors made from now on. Does nothing under AddressSanitizer, which must
/// see every free.
void use_caching_allocator();

/// Gives idle blocks back to the system; does nothing when the allocator is not installed.
void release_cached_memory();

}  // namespace ehrjepa::memory
