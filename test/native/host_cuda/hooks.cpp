// What -fsanitize=thread, alignment and bounds call in the kernels, instead of the sanitizers' runtimes: every access
// of theirs comes by here.
#include <cstdint>
#include <string>

#include "engine.h"

namespace {

using host_cuda::Access;

void access(const void* address, std::size_t bytes, Access kind, const void* code) {
  if (!host_cuda::in_thread()) return;
  if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0 && !host_cuda::is_stack(address)) {
    host_cuda::fail("misaligned: an access of " + std::to_string(bytes) + " bytes at an address that is no multiple");
  }
  host_cuda::touch(address, bytes, kind, code);
}

/// Layout of the sanitizers' records.
struct SourceLocation {
  const char* file;
  std::uint32_t line, column;
};

std::string place(const void* record) {
  const auto* const where = static_cast<const SourceLocation*>(record);
  return std::string(where->file) + ":" + std::to_string(where->line);
}

}  // namespace

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define HOST_CUDA_ACCESS(bytes)                                                                        \
  void __tsan_read##bytes(void* at) { access(at, bytes, Access::kRead, __builtin_return_address(0)); } \
  void __tsan_write##bytes(void* at) { access(at, bytes, Access::kWrite, __builtin_return_address(0)); }
HOST_CUDA_ACCESS(1)
HOST_CUDA_ACCESS(2)
HOST_CUDA_ACCESS(4)
HOST_CUDA_ACCESS(8)
HOST_CUDA_ACCESS(16)
#undef HOST_CUDA_ACCESS

#define HOST_CUDA_UNALIGNED(bytes)                                            \
  void __tsan_unaligned_read##bytes(void* at) {                               \
    host_cuda::touch(at, bytes, Access::kRead, __builtin_return_address(0));  \
  }                                                                           \
  void __tsan_unaligned_write##bytes(void* at) {                              \
    host_cuda::touch(at, bytes, Access::kWrite, __builtin_return_address(0)); \
  }
HOST_CUDA_UNALIGNED(2)
HOST_CUDA_UNALIGNED(4)
HOST_CUDA_UNALIGNED(8)
HOST_CUDA_UNALIGNED(16)
#undef HOST_CUDA_UNALIGNED

void __tsan_read_range(void* at, std::size_t bytes) {
  host_cuda::touch(at, bytes, Access::kRead, __builtin_return_address(0));
}
void __tsan_write_range(void* at, std::size_t bytes) {
  host_cuda::touch(at, bytes, Access::kWrite, __builtin_return_address(0));
}

void __ubsan_handle_type_mismatch_v1(void* record, void* address) {
  if (!host_cuda::in_thread()) return;
  const unsigned log_alignment = *reinterpret_cast<const unsigned char*>(static_cast<const char*>(record) +
                                                                         sizeof(SourceLocation) + sizeof(void*));
  if (address == nullptr) host_cuda::fail("a null pointer is used at " + place(record));
  host_cuda::fail("misaligned: an address must be a multiple of " + std::to_string(1u << log_alignment) + " at " +
                  place(record));
}
void __ubsan_handle_out_of_bounds(void* record, void* index) {
  if (!host_cuda::in_thread()) return;
  host_cuda::fail("an array is indexed beyond its end, at " +
                  std::to_string(static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(index))) + ", at " +
                  place(record));
}
}
