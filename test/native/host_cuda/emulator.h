// The side of tests: how kernels are run, and what of memory they may touch. A kernel that does one of these ends with
// a std::runtime_error that says where:
//
//   an access outside of the memory it was given, of shared memory beyond its size, of memory at an address that is not
//   a multiple of the access, a write to what it may only read; a read of what nothing has written, or of what an
//   asynchronous copy has yet to bring; two threads at the same bytes, one of them writing, without a barrier between
//   (of the block, or __syncwarp within a warp; blocks are never ordered); lanes of a warp at different instructions
//   that need all of them; threads at different barriers; threads that wait in vain.
//
// Every access of the kernels is seen, because they are compiled with -fsanitize=thread and hooks.cpp stands in for the
// sanitizer's runtime. None of it depends on the schedule; what a schedule changes are the results of a kernel that
// orders its work by something that is not watched.
#pragma once
#include <cstddef>
#include <cstdint>

namespace host_cuda {

/// Order in which blocks, warps and lanes come; another seed is another schedule. With an odd seed each warp runs as
/// far ahead of the others as it can, with an even one they go side by side.
void set_schedule(std::uint64_t seed);

/// When an asynchronous copy arrives: when it is waited for, or at once. The device does either, and anything between.
enum class Delivery { kLazy, kEager };
void set_delivery(Delivery delivery);

/// Global memory that kernels may touch while the object lives.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();
  void reads(const void* begin, std::size_t bytes);  ///< holds values
  void writes(void* begin, std::size_t bytes);       ///< holds nothing yet
  void updates(void* begin, std::size_t bytes);      ///< holds values and may be written

 private:
  void add(const void* begin, std::size_t bytes, bool readable, bool writable);
  std::size_t count_ = 0;
};

/// How accesses of shared memory meet its 32 banks.
struct BankUse {
  std::uint64_t accesses = 0;  ///< of a warp, or of the 8 lanes that load one matrix at a time
  std::uint64_t passes = 0;    ///< that they take: as many as accesses when no two words of one meet in a bank
};
/// Counts from now on. What the lanes of a warp do is put together by its place in the code.
void count_banks();
/// What was counted since. Counting ends.
BankUse bank_use();

}  // namespace host_cuda
