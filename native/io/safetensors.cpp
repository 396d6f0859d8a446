#include "io/safetensors.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "core/error.h"

namespace ehrjepa::io {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& message) {
  throw Error("[safetensors] " + path + ": " + message);
}

/// A file descriptor that closes itself.
class File {
 public:
  File(const std::string& path, int flags) : path_(path), descriptor_(::open(path.c_str(), flags, 0644)) {
    if (descriptor_ < 0) fail(path, std::strerror(errno));
  }
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void write(const void* data, std::size_t size) {
    const char* bytes = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t written = ::write(descriptor_, bytes, size);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail(path_, std::strerror(errno));
      bytes += written;
      size -= static_cast<std::size_t>(written);
    }
  }
  void sync() {
    if (::fsync(descriptor_) != 0) fail(path_, std::strerror(errno));
  }
  std::uint64_t size() const {
    struct stat status{};
    if (::fstat(descriptor_, &status) != 0) fail(path_, std::strerror(errno));
    return static_cast<std::uint64_t>(status.st_size);
  }
  int descriptor() const { return descriptor_; }

 private:
  std::string path_;
  int descriptor_;
};

/// A read-only mapping of a whole file.
class Mapping {
 public:
  Mapping(const File& file, const std::string& path) : size_(file.size()) {
    if (size_ == 0) fail(path, "the file is empty");
    address_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
    if (address_ == MAP_FAILED) fail(path, std::strerror(errno));
  }
  ~Mapping() { ::munmap(address_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  char* at(std::uint64_t offset) const { return static_cast<char*>(address_) + offset; }
  std::uint64_t size() const { return size_; }

 private:
  std::uint64_t size_;
  void* address_;
};

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

at::ScalarType scalar_type(const std::string& path, const TensorEntry& entry) {
  if (entry.dtype == "F32") return at::kFloat;
  if (entry.dtype == "F16") return at::kHalf;
  if (entry.dtype == "BF16") return at::kBFloat16;
  fail(path, "tensor " + entry.name + " must be F32, F16 or BF16 but is " + entry.dtype);
}

std::string shape_text(at::IntArrayRef shape) {
  std::string result = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) result += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return result + "]";
}

std::string header_of(const std::vector<model::NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"";
  for (const auto& [key, value] : metadata) {
    header += ',';
    header += json_string(key);
    header += ':';
    header += json_string(value);
  }
  header += '}';
  std::uint64_t offset = 0;
  for (const model::NamedTensor& entry : tensors) {
    const std::uint64_t end = offset + static_cast<std::uint64_t>(entry.tensor.numel()) * sizeof(float);
    header += ',';
    header += json_string(entry.name);
    header += ":{\"dtype\":\"F32\",\"shape\":";
    header += shape_text(entry.tensor.sizes());
    header += ",\"data_offsets\":[" + std::to_string(offset) + ',' + std::to_string(end) + "]}";
    offset = end;
  }
  header += '}';
  // Data that start on 64 bytes can be mapped and used in place.
  while ((header.size() + 8) % 64 != 0) header += ' ';
  return header;
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<model::NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  try {
    File file(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
    const std::string header = header_of(tensors, metadata);
    const std::uint64_t header_size = header.size();
    file.write(&header_size, sizeof(header_size));  // little-endian, as is every machine libtorch is built for
    file.write(header.data(), header.size());
    for (const model::NamedTensor& entry : tensors) {
      const at::Tensor values = entry.tensor.detach().to(at::kFloat).contiguous();
      file.write(values.data_ptr(), values.nbytes());
    }
    file.sync();
  } catch (...) {
    ::unlink(path.c_str());
    throw;
  }
}

void read_safetensors(const std::string& path, const std::vector<TensorEntry>& entries,
                      const std::vector<model::NamedTensor>& destination) {
  const File file(path, O_RDONLY | O_CLOEXEC);
  const Mapping mapping(file, path);
  std::unordered_map<std::string, const TensorEntry*> by_name;
  for (const TensorEntry& entry : entries) by_name.emplace(entry.name, &entry);
  if (by_name.size() != destination.size()) {
    for (const TensorEntry& entry : entries) {
      bool known = false;
      for (const model::NamedTensor& target : destination) known = known || target.name == entry.name;
      if (!known) fail(path, "tensor " + entry.name + " does not belong to this model");
    }
  }
  std::vector<at::Tensor> sources;
  for (const model::NamedTensor& target : destination) {
    const auto found = by_name.find(target.name);
    if (found == by_name.end()) fail(path, "tensor " + target.name + " is missing");
    const TensorEntry& entry = *found->second;
    if (at::IntArrayRef(entry.shape) != target.tensor.sizes()) {
      fail(path, "tensor " + entry.name + " must have shape " + shape_text(target.tensor.sizes()) + " but has " +
                     shape_text(entry.shape));
    }
    const at::ScalarType dtype = scalar_type(path, entry);
    const std::uint64_t bytes = static_cast<std::uint64_t>(target.tensor.numel()) * c10::elementSize(dtype);
    if (entry.end < entry.begin || entry.end > mapping.size() || entry.end - entry.begin != bytes) {
      fail(path, "tensor " + entry.name + " must span " + std::to_string(bytes) + " bytes inside the file of " +
                     std::to_string(mapping.size()) + " bytes but spans " + std::to_string(entry.begin) + " to " +
                     std::to_string(entry.end));
    }
    sources.push_back(at::from_blob(mapping.at(entry.begin), entry.shape, at::TensorOptions().dtype(dtype)));
  }
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < destination.size(); ++i) destination[i].tensor.detach().copy_(sources[i]);
}

}  // namespace ehrjepa::io
