#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace ehrjepa::kernels {

/// @return the CUDA error code of the launch, 0 when it was accepted. @param blocks at least 1, at most 2^31 - 1.
template <typename... Parameters, typename... Arguments>
int launch(void (*kernel)(Parameters...), std::int64_t blocks, int threads, std::size_t dynamic_bytes,
           cudaStream_t stream, Arguments... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = dynamic_bytes;
  config.stream = stream;
  return static_cast<int>(cudaLaunchKernelEx(&config, kernel, arguments...));
}

/// The same for a kernel that may take more than 48 KiB of dynamic shared memory, which has to be asked for.
template <typename... Parameters, typename... Arguments>
int launch_large(void (*kernel)(Parameters...), std::int64_t blocks, int threads, std::size_t dynamic_bytes,
                 cudaStream_t stream, Arguments... arguments) {
  const int error = static_cast<int>(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(dynamic_bytes)));
  return error != 0 ? error : launch(kernel, blocks, threads, dynamic_bytes, stream, arguments...);
}

}  // namespace ehrjepa::kernels
