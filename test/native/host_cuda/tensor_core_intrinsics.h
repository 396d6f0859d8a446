// What native/ops/cuda/tensor_core.h and async_copy.h are on the host: one call for each instruction.
#pragma once
#include <cstdint>

#include "cuda_runtime.h"

namespace host_cuda {

/// ldmatrix.x4: four 8 x 8 tiles of 16-bit elements; lane l gives the address of row l % 8 of tile l / 8.
void load_matrices(std::uint32_t (&result)[4], const void* row, bool transposed, Where where = Where::current());

/// mma.sync.m16n8k16, bfloat16 products summed in float32: d += a b.
void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                  Where where = Where::current());

/// cp.async of 16 bytes; `bytes` of them are read, the others become 0.
void copy_async(void* shared, const void* global, int bytes);
void commit_copies();
/// Waits until at most `groups` groups of this thread's copies are under way.
void wait_for_copies(int groups);

}  // namespace host_cuda
