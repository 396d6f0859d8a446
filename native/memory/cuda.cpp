#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

#include "memory/device.h"

namespace ehrjepa::memory {
namespace {

std::string driver_version() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) return "";
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

Devices cuda_devices() {
  Devices result{true, driver_version(), {}};
  if (result.driver.empty()) return result;
  const c10::DeviceIndex count = c10::cuda::device_count();
  for (c10::DeviceIndex i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) break;
    result.list.push_back(
        {properties.name, properties.major, properties.minor, static_cast<std::int64_t>(properties.totalGlobalMem)});
  }
  return result;
}

const bool registered = (set_accelerator({at::kCUDA, cuda_devices}), true);

}  // namespace
}  // namespace ehrjepa::memory
