// The instructions of the tensor cores that the kernels use, one function each; test/native/host_cuda has what they are
// on the host. Layouts: PTX manual, "Matrix Fragments for mma.m16n8k16" (.bf16) and ldmatrix (.b16).
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#ifndef __CUDACC__
#include <tensor_core_intrinsics.h>
#endif

namespace ehrjepa::kernels {

/// Four 8 x 8 tiles of 16-bit elements from shared memory. Lane l names the 16 bytes of row l % 8 of tile l / 8, and
/// gets of each tile the elements (l / 4, 2 (l % 4)) and the next; transposed: (2 (l % 4), l / 4) and the one below.
template <bool transposed>
__device__ __forceinline__ void load_matrices(std::uint32_t (&result)[4], const __nv_bfloat16* row) {
#ifdef __CUDACC__
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(result[0]), "=r"(result[1]), "=r"(result[2]), "=r"(result[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(result[0]), "=r"(result[1]), "=r"(result[2]), "=r"(result[3])
                 : "r"(address)
                 : "memory");
  }
#else
  host_cuda::load_matrices(result, row, transposed);
#endif
}

/// d (16 x 8) += a (16 x 16) b (16 x 8): bfloat16 products, float32 sums. With g = lane / 4 and t = 2 (lane % 4):
/// a holds (g, t), (g + 8, t), (g, t + 8), (g + 8, t + 8) and the next of each; b (t, g), (t + 8, g) and the one below
/// each; d (g, t), (g, t + 1), (g + 8, t), (g + 8, t + 1).
__device__ __forceinline__ void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  host_cuda::multiply_add(d, a, b);
#endif
}

/// Two numbers as the halves of a word, the first below.
__device__ __forceinline__ std::uint32_t pack(float low, float high) {
#ifdef __CUDACC__
  std::uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
#else
  return __float2bfloat16_rn(low).bits | std::uint32_t{__float2bfloat16_rn(high).bits} << 16;
#endif
}

}  // namespace ehrjepa::kernels
