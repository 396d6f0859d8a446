#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "contract/devices.h"

namespace ehrjepa::memory {

/// What `cuda` stands for: CUDA in a CUDA build, in tests a pretend device, nothing in a CPU build.
struct Accelerator {
  at::DeviceType type;
  Devices (*devices)();
};

/// Called once, when the program is loaded.
void set_accelerator(const Accelerator& accelerator);

/// What there is now.
Devices devices();

/// "cpu" or "cuda:N" as libtorch names it.
/// @throws Error for another name, and for a device that is not there.
at::Device device_named(const std::string& name);

}  // namespace ehrjepa::memory
