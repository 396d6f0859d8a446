#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/parameters.h"

namespace ehrjepa::io {

/// Where one tensor lies in a file. TypeScript parses the header; the bounds are checked again here.
struct TensorEntry {
  std::string name;
  std::string dtype;  ///< "F32", "F16" or "BF16"
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  ///< bytes from the start of the file
  std::uint64_t end = 0;
};

/// Writes tensors in order as safetensors (float32, header padded to 64 bytes) and fsyncs the file.
/// The caller gives a temporary name and renames it when all files of a checkpoint are written.
/// @throws Error with the system's reason; a partial file is removed.
void write_safetensors(const std::string& path, const std::vector<model::NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata);

/// Copies the listed tensors of a file into `destination`, by name, with conversion to float32.
/// @throws Error when a name is missing or unknown, a shape or a byte count does not fit, or the file is shorter than
/// its header says. Nothing is copied unless everything fits.
void read_safetensors(const std::string& path, const std::vector<TensorEntry>& entries,
                      const std::vector<model::NamedTensor>& destination);

}  // namespace ehrjepa::io
