#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "io/file.h"

namespace ehrjepa::io {

/// Numbers of a file, and where on a device they belong.
struct DeviceRead {
  const File* file;
  std::uint64_t begin;     ///< first byte in the file
  at::ScalarType dtype;    ///< in the file
  at::Tensor destination;  ///< contiguous, of any dtype
};

/// Bytes of a piece and of a round of pieces; multiples of 256.
struct ReadSizes {
  std::int64_t piece = std::int64_t{8} << 20;
  std::int64_t round = std::int64_t{32} << 20;
};

/// Fills tensors of one device from files. Threads read pieces into pinned memory, which goes up by a stream of its own
/// while the next pieces are read; numbers of another dtype are converted on the device. The host holds two rounds of
/// pieces, however large the files are.
/// @param check  is given each piece as it was read, a tensor of the host, with the number of its read and the place of
///               its first number; what it throws ends everything, with some tensors filled.
void read_to_device(const std::vector<DeviceRead>& reads, at::Device device,
                    const std::function<void(std::size_t read, std::int64_t first, const at::Tensor& piece)>& check,
                    const ReadSizes& sizes = {});

/// Tensors of one dtype side by side in one buffer of a device. They share memory and nothing else: each counts its
/// changes for itself, as a trained parameter must.
std::vector<at::Tensor> tensors_in_one_buffer(const std::vector<std::vector<std::int64_t>>& shapes,
                                              at::ScalarType dtype, at::Device device);

}  // namespace ehrjepa::io
