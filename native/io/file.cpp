#include "io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace ehrjepa::io {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw Error("[file] " + path + ": " + reason);
}

}  // namespace

File::File(std::string path, int flags) : path_(std::move(path)), descriptor_(::open(path_.c_str(), flags, 0644)) {
  if (descriptor_ < 0) fail(path_, std::strerror(errno));
}

File::~File() { ::close(descriptor_); }

void File::write_at(const void* data, std::size_t size, std::uint64_t offset) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::pwrite(descriptor_, bytes, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(path_, std::strerror(errno));
    bytes += written;
    offset += static_cast<std::uint64_t>(written);
    size -= static_cast<std::size_t>(written);
  }
}

void File::read_at(void* destination, std::size_t size, std::uint64_t offset) const {
  char* bytes = static_cast<char*>(destination);
  while (size > 0) {
    const ssize_t count = ::pread(descriptor_, bytes, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(path_, std::strerror(errno));
    if (count == 0) fail(path_, "ends before byte " + std::to_string(offset + size) + "; it was cut while it was read");
    bytes += count;
    offset += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
}

void File::sync() {
  if (::fsync(descriptor_) != 0) fail(path_, std::strerror(errno));
}

std::uint64_t File::size() const {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) fail(path_, std::strerror(errno));
  return static_cast<std::uint64_t>(status.st_size);
}

Mapping::Mapping(const File& file) : size_(file.size()) {
  if (size_ == 0) fail(file.path(), "the file is empty");
  address_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.descriptor(), 0);
  if (address_ == MAP_FAILED) fail(file.path(), std::strerror(errno));
}

Mapping::~Mapping() { ::munmap(address_, size_); }

}  // namespace ehrjepa::io
