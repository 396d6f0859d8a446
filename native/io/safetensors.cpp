#include "io/safetensors.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>
#include <c10/util/accumulate.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <unordered_map>

#include "core/error.h"
#include "core/finite.h"
#include "io/device_reader.h"
#include "io/file.h"
#include "memory/scalar_type.h"
#include "memory/transfer.h"

namespace ehrjepa::io {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& message) {
  throw Error("[safetensors] " + path + ": " + message);
}

std::string json_string(const std::string& text) {
  static constexpr char hex[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20) {
      result += "\\u00";
      result += hex[byte >> 4];
      result += hex[byte & 15];
    } else {
      result += c;
    }
  }
  return result + '"';
}

const char* dtype_name(const std::string& path, const std::string& tensor, at::ScalarType dtype) {
  if (dtype == at::kFloat) return "F32";
  if (dtype == at::kHalf) return "F16";
  if (dtype == at::kBFloat16) return "BF16";
  refuse(path, "tensor " + tensor + " must be float32, float16 or bfloat16");
}

at::ScalarType stored_dtype(const TensorToWrite& entry, std::optional<Dtype> dtype) {
  return dtype ? memory::scalar_type(*dtype) : entry.dtype;
}

std::uint64_t stored_bytes(const TensorToWrite& entry, std::optional<Dtype> dtype) {
  const std::int64_t count = c10::multiply_integers(entry.shape);
  return static_cast<std::uint64_t>(count) * c10::elementSize(stored_dtype(entry, dtype));
}

std::string shape_text(at::IntArrayRef shape) {
  std::string result = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) result += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return result + "]";
}

std::string header_of(const std::string& path, const std::vector<TensorToWrite>& tensors,
                      const std::map<std::string, std::string>& metadata, std::optional<Dtype> dtype) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"";
  for (const auto& [key, value] : metadata) {
    header += ',';
    header += json_string(key);
    header += ':';
    header += json_string(value);
  }
  header += '}';
  std::uint64_t offset = 0;
  for (const TensorToWrite& entry : tensors) {
    const std::uint64_t end = offset + stored_bytes(entry, dtype);
    header += ',';
    header += json_string(entry.name);
    header += std::string(":{\"dtype\":\"") + dtype_name(path, entry.name, stored_dtype(entry, dtype));
    header += "\",\"shape\":" + shape_text(entry.shape);
    header += ",\"data_offsets\":[" + std::to_string(offset) + ',' + std::to_string(end) + "]}";
    offset = end;
  }
  header += '}';
  // Data that start on 64 bytes can be mapped and used in place.
  while ((header.size() + 8) % 64 != 0) header += ' ';
  return header;
}

/// The files of a list of tensors, each opened once.
class Files {
 public:
  const File& open(const std::string& path) {
    std::unique_ptr<File>& file = files_[path];
    if (!file) file = std::make_unique<File>(path, O_RDONLY | O_CLOEXEC);
    return *file;
  }
  std::shared_ptr<Mapping> map(const std::string& path) {
    std::shared_ptr<Mapping>& mapping = mappings_[path];
    if (!mapping) mapping = std::make_shared<Mapping>(open(path));
    return mapping;
  }

 private:
  std::unordered_map<std::string, std::unique_ptr<File>> files_;
  std::unordered_map<std::string, std::shared_ptr<Mapping>> mappings_;
};

/// The entry of each wanted tensor, every rule checked.
std::vector<const TensorEntry*> locate(const std::vector<TensorEntry>& entries, const std::vector<NamedTensor>& wanted,
                                       Files& files) {
  std::unordered_map<std::string, const TensorEntry*> by_name;
  for (const TensorEntry& entry : entries) {
    if (!by_name.emplace(entry.name, &entry).second) refuse(entry.path, "tensor " + entry.name + " is listed twice");
  }
  std::unordered_map<std::string, bool> wanted_names;
  for (const NamedTensor& target : wanted) wanted_names.emplace(target.name, true);
  for (const TensorEntry& entry : entries) {
    if (!wanted_names.contains(entry.name))
      refuse(entry.path, "tensor " + entry.name + " does not belong to this model");
  }
  const std::string first_path = entries.empty() ? "the list of tensors" : entries.front().path;
  std::vector<const TensorEntry*> located;
  for (const NamedTensor& target : wanted) {
    const auto found = by_name.find(target.name);
    if (found == by_name.end()) refuse(first_path, "tensor " + target.name + " is missing");
    const TensorEntry& entry = *found->second;
    if (at::IntArrayRef(entry.shape) != target.tensor.sizes()) {
      refuse(entry.path, "tensor " + entry.name + " must have shape " + shape_text(target.tensor.sizes()) +
                             " but has " + shape_text(entry.shape));
    }
    const std::uint64_t bytes =
        static_cast<std::uint64_t>(target.tensor.numel()) * c10::elementSize(memory::scalar_type(entry.dtype));
    const std::uint64_t size = files.open(entry.path).size();
    if (entry.end < entry.begin || entry.end > size || entry.end - entry.begin != bytes) {
      refuse(entry.path, "tensor " + entry.name + " must span " + std::to_string(bytes) + " bytes inside the file of " +
                             std::to_string(size) + " bytes but spans " + std::to_string(entry.begin) + " to " +
                             std::to_string(entry.end));
    }
    located.push_back(&entry);
  }
  return located;
}

/// A tensor on the pages of the file, which it keeps mapped.
at::Tensor mapped_tensor(const TensorEntry& entry, Files& files) {
  std::shared_ptr<Mapping> mapping = files.map(entry.path);
  char* const data = mapping->at(entry.begin);
  return at::from_blob(
      data, entry.shape, [mapping = std::move(mapping)](void*) {}, memory::on_host(memory::scalar_type(entry.dtype)));
}

bool is_aligned(const TensorEntry& entry) {
  return entry.begin % c10::elementSize(memory::scalar_type(entry.dtype)) == 0;
}

constexpr std::uint64_t kChunk = std::uint64_t{8} << 20;

/// Reads bytes of a file by all threads.
void read_bytes(const File& file, std::uint64_t begin, const at::Tensor& destination) {
  char* const data = static_cast<char*>(destination.data_ptr());
  const std::uint64_t bytes = destination.nbytes();
  const auto chunks = static_cast<std::int64_t>((bytes + kChunk - 1) / kChunk);
  at::parallel_for(0, chunks, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::uint64_t offset = static_cast<std::uint64_t>(i) * kChunk;
      file.read_at(data + offset, std::min(kChunk, bytes - offset), begin + offset);
    }
  });
}

/// Gives the numbers of a tensor as the file has them, in pieces: pages of a mapping would all stay in memory.
/// @param use  the place of a piece's first number, and the piece, which the next one overwrites.
void for_each_piece(const TensorEntry& entry, Files& files,
                    const std::function<void(std::int64_t first, const at::Tensor& piece)>& use) {
  const at::ScalarType dtype = memory::scalar_type(entry.dtype);
  const auto width = static_cast<std::int64_t>(c10::elementSize(dtype));
  const std::int64_t count = c10::multiply_integers(entry.shape);
  const std::int64_t most = static_cast<std::int64_t>(kChunk) / width * at::get_num_threads();
  const at::Tensor buffer = at::empty({std::min(count, most)}, memory::on_host(dtype));
  for (std::int64_t first = 0; first < count; first += most) {
    const at::Tensor piece = buffer.narrow(0, 0, std::min(most, count - first));
    read_bytes(files.open(entry.path), entry.begin + static_cast<std::uint64_t>(first * width), piece);
    use(first, piece);
  }
}

/// @param destination  contiguous, on the host.
void copy_values(const TensorEntry& entry, const at::Tensor& destination, Files& files) {
  TORCH_INTERNAL_ASSERT(destination.is_cpu() && destination.is_contiguous());
  if (memory::scalar_type(entry.dtype) == destination.scalar_type()) {
    read_bytes(files.open(entry.path), entry.begin, destination);
    return;
  }
  const at::Tensor values = destination.view({-1});
  for_each_piece(entry, files, [&](std::int64_t first, const at::Tensor& piece) {
    values.narrow(0, first, piece.numel()).copy_(piece);
  });
}

/// Place of the first number of a contiguous tensor that is NaN or infinite; its size when all are finite.
std::int64_t first_not_finite(const at::Tensor& tensor) {
  constexpr std::int64_t grain = std::int64_t{1} << 20;
  const auto* const data = static_cast<const char*>(tensor.const_data_ptr());
  const at::ScalarType dtype = tensor.scalar_type();
  const auto width = static_cast<std::int64_t>(c10::elementSize(dtype));
  std::atomic<std::int64_t> first{tensor.numel()};
  at::parallel_for(0, tensor.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
    const char* const numbers = data + begin * width;
    const std::int64_t place =
        begin + (dtype == at::kFloat  ? ehrjepa::first_not_finite(numbers, end - begin, kFloatExponent)
                 : dtype == at::kHalf ? ehrjepa::first_not_finite(numbers, end - begin, kHalfExponent)
                                      : ehrjepa::first_not_finite(numbers, end - begin, kBfloat16Exponent));
    if (place == end) return;
    std::int64_t known = first.load();
    while (place < known && !first.compare_exchange_weak(known, place)) {
    }
  });
  return first.load();
}

/// @param first  place of the tensor's first number among those that are counted.
std::string number_at(const at::Tensor& tensor, std::int64_t place, std::int64_t first = 0) {
  return std::to_string(tensor.reshape({-1})[place].to(at::kDouble).item<double>()) + " at element " +
         std::to_string(first + place);
}

/// @throws Error when a number of a tensor, read or still in the file, is NaN or infinite.
/// @param first  place of the first of them in the tensor.
void require_finite(const TensorEntry& entry, const at::Tensor& values, std::int64_t first = 0) {
  const std::int64_t place = first_not_finite(values);
  if (place == values.numel()) return;
  refuse(entry.path, "tensor " + entry.name + " must hold finite numbers but holds " + number_at(values, place, first) +
                         "; the weights are damaged, or were saved by a run that diverged");
}

DeviceRead read_of(const TensorEntry& entry, const at::Tensor& destination, Files& files) {
  return {&files.open(entry.path), entry.begin, memory::scalar_type(entry.dtype), destination};
}

/// The tensors of a list as new ones of a device, in one buffer; those that are not read on the meta device.
std::vector<at::Tensor> read_onto(at::Device device, const std::vector<const TensorEntry*>& entries,
                                  at::ScalarType dtype, const std::function<bool(const std::string&)>& is_read,
                                  Files& files) {
  std::vector<const TensorEntry*> read;
  std::vector<std::vector<std::int64_t>> shapes;
  for (const TensorEntry* const entry : entries) {
    if (is_read && !is_read(entry->name)) continue;
    read.push_back(entry);
    shapes.push_back(entry->shape);
  }
  const std::vector<at::Tensor> made = tensors_in_one_buffer(shapes, dtype, device);
  std::vector<DeviceRead> reads;
  for (std::size_t i = 0; i < read.size(); ++i) reads.push_back(read_of(*read[i], made[i], files));
  read_to_device(reads, device, [&](std::size_t i, std::int64_t first, const at::Tensor& piece) {
    require_finite(*read[i], piece, first);
  });
  std::vector<at::Tensor> result;
  std::size_t next = 0;
  for (const TensorEntry* const entry : entries) {
    const bool here = next < read.size() && read[next] == entry;
    result.push_back(here ? made[next++] : at::empty(entry->shape, at::TensorOptions().dtype(dtype).device(at::kMeta)));
  }
  return result;
}

/// A tensor in the dtype it is written in. @throws Error when a number does not fit it.
at::Tensor as_written(const std::string& path, const TensorToWrite& entry, at::ScalarType dtype) {
  const at::Tensor own = entry.make().detach().to(at::kCPU);
  at::Tensor values = own.to(dtype).contiguous();
  if (own.scalar_type() == dtype) return values;
  const std::int64_t place = first_not_finite(values);
  if (place == values.numel()) return values;
  refuse(path, "tensor " + entry.name + " must fit " + dtype_name(path, entry.name, dtype) + " but holds " +
                   number_at(own.contiguous(), place) + "; choose a wider dtype");
}

}  // namespace

TensorToWrite to_write(const NamedTensor& tensor) {
  std::function<at::Tensor()> make;
  if (!tensor.tensor.is_meta()) make = [values = tensor.tensor] { return values; };
  return {tensor.name, tensor.tensor.sizes().vec(), tensor.tensor.scalar_type(), std::move(make)};
}

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata, std::optional<Dtype> dtype, FilePart part) {
  std::vector<TensorToWrite> all;
  for (const NamedTensor& tensor : tensors) all.push_back(to_write(tensor));
  write_safetensors(path, all, metadata, dtype, part);
}

void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata, std::optional<Dtype> dtype, FilePart part) {
  const at::NoGradGuard no_grad;
  // Several processes write into a file that none of them may cut off.
  File file(path, O_WRONLY | O_CREAT | O_CLOEXEC | (part == FilePart::kWhole ? O_TRUNC : 0));
  try {
    const std::string header = header_of(path, tensors, metadata, dtype);
    const std::uint64_t header_size = header.size();
    if (part != FilePart::kOther) {
      // Little-endian, as is every machine libtorch is built for.
      file.write_at(&header_size, sizeof(header_size), 0);
      file.write_at(header.data(), header.size(), sizeof(header_size));
    }
    std::uint64_t place = sizeof(header_size) + header.size();
    for (const TensorToWrite& entry : tensors) {
      if (entry.make) {
        const at::Tensor values = as_written(path, entry, stored_dtype(entry, dtype));
        file.write_at(values.data_ptr(), values.nbytes(), place);
      }
      place += stored_bytes(entry, dtype);
    }
    file.sync();
  } catch (...) {
    if (part == FilePart::kWhole) ::unlink(path.c_str());
    throw;
  }
}

void copy_safetensors(const std::vector<TensorEntry>& entries, const std::vector<NamedTensor>& destination) {
  Files files;
  const std::vector<const TensorEntry*> located = locate(entries, destination, files);
  const at::NoGradGuard no_grad;
  // Before anything is copied: the state is as it was when a file is refused.
  for (std::size_t i = 0; i < destination.size(); ++i) {
    if (destination[i].tensor.is_meta()) continue;
    for_each_piece(*located[i], files,
                   [&](std::int64_t first, const at::Tensor& piece) { require_finite(*located[i], piece, first); });
  }
  std::vector<DeviceRead> reads;
  for (std::size_t i = 0; i < destination.size(); ++i) {
    const at::Tensor tensor = destination[i].tensor.detach();
    if (tensor.is_meta()) continue;
    if (tensor.is_cpu()) {
      copy_values(*located[i], tensor, files);
    } else {
      reads.push_back(read_of(*located[i], tensor, files));
    }
  }
  if (reads.empty()) return;
  // They have been checked.
  read_to_device(reads, reads.front().destination.device(), [](std::size_t, std::int64_t, const at::Tensor&) {});
}

std::vector<at::Tensor> read_safetensors(const std::vector<TensorEntry>& entries,
                                         const std::vector<NamedTensor>& wanted, at::ScalarType dtype,
                                         Placement placement, at::Device device,
                                         const std::function<bool(const std::string& name)>& is_read) {
  Files files;
  std::vector<at::Tensor> result;
  const at::NoGradGuard no_grad;
  const std::vector<const TensorEntry*> located = locate(entries, wanted, files);
  if (!device.is_cpu()) return read_onto(device, located, dtype, is_read, files);
  for (const TensorEntry* const entry : located) {
    if (is_read && !is_read(entry->name)) {
      result.push_back(at::empty(entry->shape, at::TensorOptions().dtype(dtype).device(at::kMeta)));
      continue;
    }
    if (placement == Placement::kMapped && memory::scalar_type(entry->dtype) == dtype && is_aligned(*entry)) {
      result.push_back(mapped_tensor(*entry, files));
    } else {
      result.push_back(at::empty(entry->shape, memory::on_host(dtype)));
      copy_values(*entry, result.back(), files);
    }
    require_finite(*entry, result.back());
  }
  return result;
}

}  // namespace ehrjepa::io
