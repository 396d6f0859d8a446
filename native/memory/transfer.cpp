#include "memory/transfer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

#include <cstdint>

namespace ehrjepa::memory {
namespace {

/// Larger tensors are weights, of which a pinned copy would be one more copy of the model.
constexpr std::size_t most_pinned_bytes = std::size_t{64} << 20;

}  // namespace

at::Tensor upload(const at::Tensor& host, at::Device device) {
  if (device.is_cpu()) return host;
  if (host.numel() == 0 || host.nbytes() > most_pinned_bytes) return host.to(device);
  // From pageable memory the copy would hold the host up until it is through. libtorch keeps the pinned block until
  // then.
  return host.pin_memory().to(device, /*non_blocking=*/true);
}

at::Tensor host_vector(const std::vector<std::int64_t>& values) { return at::tensor(values, on_host(at::kLong)); }

at::Tensor upload(const std::vector<std::int64_t>& values, at::Device device) {
  return upload(host_vector(values), device);
}

at::Tensor host_copy(const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach();
  return values.is_cpu() ? values.clone() : values.to(at::kCPU);
}

std::vector<at::Tensor> read_back(const std::vector<at::Tensor>& values) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& value : values) {
    if (value.defined()) parts.push_back(value.detach().to(at::kDouble).reshape({-1}));
  }
  std::vector<at::Tensor> result(values.size());
  if (parts.empty()) return result;
  const at::Tensor all = at::cat(parts).to(at::kCPU);
  std::int64_t next = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!values[i].defined()) continue;
    result[i] = all.narrow(0, next, values[i].numel()).view(values[i].sizes());
    next += values[i].numel();
  }
  return result;
}

}  // namespace ehrjepa::memory
