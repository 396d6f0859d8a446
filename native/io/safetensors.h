#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "contract/state.h"
#include "io/named_tensor.h"

namespace ehrjepa::io {

/// What of a file a process writes.
enum class FilePart {
  kWhole,  ///< a new file
  kFirst,  ///< the header, and the tensors it has; those on the meta device are others'
  kOther,  ///< the tensors it has
};

/// Writes tensors in order as safetensors (header padded to 64 bytes) and fsyncs the file.
/// The caller gives a temporary name and renames it when all files of a checkpoint are written.
/// @param dtype  of every tensor in the file; absent: each tensor's own.
/// @throws Error with the system's reason, or for a number that does not fit `dtype`; a partial file is removed.
void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata, std::optional<Dtype> dtype = std::nullopt,
                       FilePart part = FilePart::kWhole);
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata, std::optional<Dtype> dtype = std::nullopt,
                       FilePart part = FilePart::kWhole);

/// A tensor as it is; one on the meta device is another process's.
TensorToWrite to_write(const NamedTensor& tensor);

/// Copies the listed tensors into `destination`, by name, with conversion to the destination's dtype. Those that are on
/// the meta device must be there too, and are not read. Of the files a piece at a time is in memory.
/// @throws Error when a name is missing or unknown, a shape or a byte count does not fit, a number is NaN or infinite,
/// or a file is shorter than its header says. Nothing is copied unless everything fits.
void copy_safetensors(const std::vector<TensorEntry>& entries, const std::vector<NamedTensor>& destination);

/// The listed tensors, in the order of `wanted`, as new tensors of one dtype.
/// @param wanted     names and shapes; the tensors may be on the meta device.
/// @param placement  kMapped falls back to kOwned for a tensor of another dtype or one that is not aligned to it, and
/// on
///                   any device but the host.
/// @param is_read    absent: all; what is not read is on the meta device.
/// @throws Error as `copy_safetensors`.
std::vector<at::Tensor> read_safetensors(const std::vector<TensorEntry>& entries,
                                         const std::vector<NamedTensor>& wanted, at::ScalarType dtype,
                                         Placement placement, at::Device device = at::kCPU,
                                         const std::function<bool(const std::string& name)>& is_read = {});

}  // namespace ehrjepa::io
