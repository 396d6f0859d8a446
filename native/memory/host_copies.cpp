#include "memory/host_copies.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include "memory/transfer.h"

namespace ehrjepa::memory {

HostCopies copy_to_host(const std::vector<at::Tensor>& tensors, SideStream& stream) {
  const at::NoGradGuard no_grad;
  HostCopies result;
  stream.follow();
  for (const at::Tensor& tensor : tensors) {
    if (tensor.is_meta() || tensor.is_cpu()) {
      result.tensors.push_back(tensor.is_meta() ? tensor : host_copy(tensor));
      continue;
    }
    const at::TensorOptions options = on_host(tensor.scalar_type());
    at::Tensor& copy = result.tensors.emplace_back(at::empty(tensor.sizes(), options.pinned_memory(true)));
    stream.run([&] { copy.copy_(tensor.detach(), /*non_blocking=*/true); });
  }
  result.made = stream.mark();
  return result;
}

}  // namespace ehrjepa::memory
