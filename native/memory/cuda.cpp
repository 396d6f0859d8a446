#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

#include <utility>

#include "memory/device.h"

namespace ehrjepa::memory {
namespace {

std::string driver_version() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) return "";
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// Bytes of tensors on a card, now and at most.
std::pair<std::int64_t, std::int64_t> held_on(c10::DeviceIndex card) {
  auto* const allocator = c10::cuda::CUDACachingAllocator::get();
  if (!allocator->initialized()) return {0, 0};
  constexpr auto whole = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto bytes = allocator->getDeviceStats(card).allocated_bytes[whole];
  return {bytes.current, bytes.peak};
}

Devices cuda_devices() {
  Devices result{true, driver_version(), {}};
  if (result.driver.empty()) return result;
  const c10::DeviceIndex count = c10::cuda::device_count();
  for (c10::DeviceIndex i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) break;
    const auto [held, peak] = held_on(i);
    result.list.push_back({properties.name, properties.major, properties.minor,
                           static_cast<std::int64_t>(properties.totalGlobalMem), held, peak});
  }
  return result;
}

void forbid_cuda_waits(bool forbid) {
  c10::cuda::warning_state().set_sync_debug_mode(forbid ? c10::cuda::SyncDebugMode::L_ERROR
                                                        : c10::cuda::SyncDebugMode::L_DISABLED);
}

const bool registered = (set_accelerator({at::kCUDA, cuda_devices, forbid_cuda_waits}), true);

}  // namespace
}  // namespace ehrjepa::memory
