// What every cuda.cpp does with tensors before and after a launch. Includes libtorch: not for kernels.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "ops/cuda/dtype.h"

namespace ehrjepa::ops {

/// False with EHR_JEPA_CUDA_KERNELS=0: ops are then computed on a card as on any other device, by plain ATen.
inline bool cuda_kernels_wanted() {
  const char* const wish = std::getenv("EHR_JEPA_CUDA_KERNELS");
  return wish == nullptr || std::strcmp(wish, "0") != 0;
}

inline kernels::Dtype kernel_dtype(const char* op, const at::Tensor& x) {
  TORCH_CHECK_VALUE(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, "[", op,
                    "] x must be float32 or bfloat16 on CUDA but is ", x.scalar_type());
  return x.scalar_type() == at::kFloat ? kernels::Dtype::kFloat32 : kernels::Dtype::kBfloat16;
}

/// A block each. @throws c10::ValueError for more than a launch can have.
inline void check_rows(const char* op, std::int64_t rows) {
  TORCH_CHECK_VALUE(rows <= std::numeric_limits<std::int32_t>::max(), "[", op,
                    "] x must have at most 2^31 - 1 rows on CUDA but has ", rows);
}

/// The tensor, or a copy where it does not start at a multiple of 16 bytes: a view of a larger one may not.
inline at::Tensor at_16_bytes(const at::Tensor& x) {
  return reinterpret_cast<std::uintptr_t>(x.const_data_ptr()) % 16 == 0 ? x : x.clone();
}

inline CUstream_st* current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

/// @throws c10::Error for a launch that was not accepted.
inline void check_launch(const char* op, int error) {
  TORCH_CHECK(error == 0, "[", op,
              "] the kernel could not be launched: ", cudaGetErrorString(static_cast<cudaError_t>(error)));
}

}  // namespace ehrjepa::ops
