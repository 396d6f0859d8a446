#include "distributed/gloo.h"

#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO
#endif
// Finds what it includes of gloo in gloo_declarations/, which CMake adds for this file alone.
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace ehrjepa::distributed {

c10::intrusive_ptr<c10d::Backend> connect_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                               const GlooDevice& device, std::chrono::milliseconds timeout) {
  using Gloo = c10d::ProcessGroupGloo;
  const auto options = Gloo::Options::create(timeout);
  options->devices.push_back(!device.interface.empty() ? Gloo::createDeviceForInterface(device.interface)
                             : !device.address.empty() ? Gloo::createDeviceForHostname(device.address)
                                                       : Gloo::createDefaultDevice());
  return c10::make_intrusive<Gloo>(store, rank, size, options);
}

}  // namespace ehrjepa::distributed
