#pragma once
#include <c10/core/Allocator.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace ehrjepa::memory {

/// Memory of CPU tensors that is used again instead of given back after each op. A training step frees and takes the
/// same gigabytes over and over, and the page faults of that were up to 40 % of its time (docs/adr/0006).
///
/// Blocks from 64 KiB on are kept when they are freed and given to the next tensor that fills at least four fifths of
/// one. What is held, in use or not, never exceeds seventeen sixteenths of the most that was in use at one time; the
/// blocks that lay idle longest go first. Thread-safe.
class CachingAllocator final : public at::Allocator {
 public:
  struct Use {
    std::size_t live;    ///< bytes in blocks of tensors, of those that are kept at all
    std::size_t cached;  ///< bytes in idle blocks
    std::size_t peak;    ///< most that was live since the last release
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

/// Makes one allocator the one of all CPU tensors from now on. Nothing under AddressSanitizer, which must see every
/// free.
void use_caching_allocator();

/// Gives back what no tensor uses; nothing when the allocator is not in use.
void release_cached_memory();

}  // namespace ehrjepa::memory
