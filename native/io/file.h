#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace ehrjepa::io {

/// A file descriptor that closes itself. @throws Error with the system's reason.
class File {
 public:
  File(std::string path, int flags);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void write_at(const void* data, std::size_t size, std::uint64_t offset);
  /// Reads exactly `size` bytes; may be called by several threads.
  void read_at(void* destination, std::size_t size, std::uint64_t offset) const;
  void sync();
  std::uint64_t size() const;
  int descriptor() const { return descriptor_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int descriptor_;
};

/// A private mapping of a whole file: writes to it stay in memory.
class Mapping {
 public:
  explicit Mapping(const File& file);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  char* at(std::uint64_t offset) const { return static_cast<char*>(address_) + offset; }

 private:
  std::uint64_t size_;
  void* address_;
};

}  // namespace ehrjepa::io
