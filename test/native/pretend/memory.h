#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>

#include <cstddef>
#include <optional>
#include <vector>

#include "native/pretend/streams.h"

/// Memory of the pretend devices: ordinary memory that nobody can read or write but an op while it runs. A stray access
/// of the host's is a segmentation fault, as it would be on a card.
namespace pretend {

constexpr c10::DeviceIndex device_count = 2;

/// Device that new tensors of this thread belong to.
c10::DeviceIndex current_device();
void set_current_device(c10::DeviceIndex index);

c10::Allocator& allocator();

/// While it lives the memory of the tensors that it was given can be read and written.
class Opened {
 public:
  /// @param what  the op, for messages.
  explicit Opened(const char* what) : what_(what) {}
  ~Opened();
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

  /// The tensor's elements as a CPU tensor on the same memory. @param tensor  of a pretend device.
  /// @throws when the thread's stream may do `access` too early or too late.
  at::Tensor host_view(const at::Tensor& tensor, Access access);
  /// What is done now, on the device of the tensors.
  const Work& work(c10::DeviceIndex device);

 private:
  void open(const void* data, c10::DeviceIndex device, Access access);
  const char* what_;
  std::optional<Work> work_;
  std::vector<const void*> blocks_;
};

/// Another stream than that of its home uses a block too.
void lend(const void* data, const c10::Stream& stream);

/// Bytes that are held now, both devices together.
std::size_t held_bytes();

/// Of one device: now, and the most at one time.
struct Held {
  std::size_t now = 0, peak = 0;
};
Held held_on(c10::DeviceIndex device);
/// The most is from now on that of later times.
void forget_peak(c10::DeviceIndex device);

/// Bytes that each device has, from now on; none: as much as there is. Without it that of EHR_JEPA_PRETEND_MEMORY,
/// which is read again at each allocation.
void limit_memory(std::optional<std::size_t> bytes);
std::optional<std::size_t> memory_limit();

}  // namespace pretend
