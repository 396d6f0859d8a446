// What the parts of the emulator know of each other.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda_runtime.h"

namespace host_cuda {

constexpr unsigned largest_block = 1024;
constexpr unsigned largest_dynamic_shared = 227 * 1024;
constexpr std::size_t stack_bytes = 64 * 1024;

/// Where in the order of a kernel's work the running thread is. Two accesses are ordered when they are of one block
/// with a barrier between, or of one warp with a __syncwarp between.
struct Moment {
  std::uint32_t block = 0;    ///< counted over all launches; 0: never
  std::uint32_t barrier = 0;  ///< of the block
  std::uint16_t warp_barrier = 0;
  std::uint16_t thread = 0;
};
Moment now();
std::uint32_t first_block_of_launch();

/// True while a kernel's thread runs.
bool in_thread();
/// Ends the launch: what run_grid throws. From a thread it does not return.
[[noreturn]] void fail(const std::string& message);

/// An instruction of all lanes of a warp: the last to come runs it with what all of them brought.
using Collective = void (*)(void* const (&lanes)[32]);
void collective(Collective run, const char* name, void* brought, Where where);

// The memory of kernels (memory.cpp).
enum class Access { kRead, kWrite };
void touch(const void* address, std::size_t bytes, Access access, const void* code);
void begin_launch(std::size_t dynamic_bytes);
/// A copy that has been issued and not waited for: nobody may touch where it goes.
void reserve(const void* shared, std::size_t bytes);
void arrive(void* shared, std::size_t bytes);
bool is_stack(const void* address);
char* stack_of(unsigned thread);

// Asynchronous copies of the block that ends (async_copies.cpp).
void forget_copies();

// Banks (banks.cpp).
void use_banks(const void* address, std::size_t bytes, const void* code);
void use_banks_of_matrix(const void* const (&rows)[8]);
/// The lanes of a warp go on together from here.
void end_of_stretch(unsigned warp);

}  // namespace host_cuda
