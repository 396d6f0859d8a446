#pragma once
#include <cuda_runtime.h>

namespace ehrjepa::kernels {

/// The block's shared memory whose size the launch gives, at a multiple of 128 bytes.
__device__ inline char* dynamic_shared() {
#ifdef __CUDACC__
  extern __shared__ __align__(128) char ehrjepa_dynamic_shared[];
  return ehrjepa_dynamic_shared;
#else
  return host_cuda::dynamic_shared();
#endif
}

}  // namespace ehrjepa::kernels
