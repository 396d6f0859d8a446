// cp.async: from global to shared memory past the registers, while the thread goes on. A thread waits for its own
// copies; the others see what it brought after a barrier behind that.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#ifndef __CUDACC__
#include <tensor_core_intrinsics.h>
#endif

namespace ehrjepa::kernels {

/// 16 bytes, both ends at a multiple of it. Not `wanted`: zeros, and `global` is not read.
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool wanted) {
#ifdef __CUDACC__
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(wanted ? 16 : 0)
               : "memory");
#else
  host_cuda::copy_async(shared, global, wanted ? 16 : 0);
#endif
}

/// Ends a group of copies.
__device__ __forceinline__ void commit_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  host_cuda::commit_copies();
#endif
}

/// Waits until at most the last `groups` groups are under way.
template <int groups>
__device__ __forceinline__ void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
#else
  host_cuda::wait_for_copies(groups);
#endif
}

}  // namespace ehrjepa::kernels
