#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

// Between the host and the device that a model computes on. What is drawn at random or comes from a batch is made on
// the host, and so has the same bits on every device.
namespace ehrjepa::memory {

/// Options of a tensor that belongs on the host, said on purpose: native code makes no tensor without naming a device.
inline at::TensorOptions on_host(at::ScalarType dtype) { return at::TensorOptions().dtype(dtype).device(at::kCPU); }

/// A tensor of the host on a device; the same tensor where that is the host. Does not wait for the device.
at::Tensor upload(const at::Tensor& host, at::Device device);

/// (values) int64 on the host.
at::Tensor host_vector(const std::vector<std::int64_t>& values);

/// (values) int64 on a device: what indexes a tensor.
at::Tensor upload(const std::vector<std::int64_t>& values, at::Device device);

/// A copy on the host that shares nothing with the tensor, without gradient.
at::Tensor host_copy(const at::Tensor& tensor);

/// Tensors as float64 on the host, in one transfer: the host waits for the device once, however many they are.
/// @param values  of one device; undefined ones stay undefined.
std::vector<at::Tensor> read_back(const std::vector<at::Tensor>& values);

}  // namespace ehrjepa::memory
