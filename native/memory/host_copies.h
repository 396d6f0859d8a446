#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "memory/streams.h"

namespace ehrjepa::memory {

/// Copies of tensors on the host, to be read when `made` is reached.
struct HostCopies {
  std::vector<at::Tensor> tensors;
  Mark made;
};

/// Copies that share nothing with the tensors. Of a device's they are made in pinned memory by a side stream, after
/// what the thread's queue has been given so far, and nobody waits: the tensors must stay as they are until `made`.
/// @param tensors  those on the meta device are taken over.
HostCopies copy_to_host(const std::vector<at::Tensor>& tensors, SideStream& stream);

}  // namespace ehrjepa::memory
