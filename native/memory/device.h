#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "contract/devices.h"

namespace ehrjepa::memory {

/// What `cuda` stands for: CUDA in a CUDA build, in tests a pretend device, nothing in a CPU build.
struct Accelerator {
  at::DeviceType type;
  Devices (*devices)();
  /// Makes a call for which the host waits for the device an error that names it, in every thread; or lets it wait.
  void (*forbid_waits)(bool forbid);
};

/// Called once, when the program is loaded.
void set_accelerator(const Accelerator& accelerator);

/// What there is now.
Devices devices();

/// While it lives, and it is wanted, the host may not wait for the device: what does is an error that names it. On the
/// host nobody waits.
class NoWaiting {
 public:
  explicit NoWaiting(bool wanted);
  ~NoWaiting() { end(); }
  NoWaiting(const NoWaiting&) = delete;
  NoWaiting& operator=(const NoWaiting&) = delete;
  void end();

 private:
  bool forbidden_;
};

/// "cpu" or "cuda:N" as libtorch names it.
/// @throws Error for another name, and for a device that is not there.
at::Device device_named(const std::string& name);

}  // namespace ehrjepa::memory
