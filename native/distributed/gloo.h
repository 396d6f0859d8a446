#pragma once
#include <chrono>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace ehrjepa::distributed {

/// Where a rank's connections to the others come from.
struct GlooDevice {
  std::string address;    ///< numeric; empty: gloo's own choice
  std::string interface;  ///< of the network; wins over the address
};

/// c10d's process group over Gloo, connected to all ranks. Blocks until it is.
/// @param timeout  of connecting.
c10::intrusive_ptr<c10d::Backend> connect_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                               const GlooDevice& device, std::chrono::milliseconds timeout);

}  // namespace ehrjepa::distributed
