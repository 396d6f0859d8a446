#include "memory/device.h"

#include <charconv>
#include <optional>
#include <utility>

#include "core/error.h"

namespace ehrjepa::memory {
namespace {

std::optional<Accelerator>& accelerator() {
  static std::optional<Accelerator> instance;
  return instance;
}

/// N of "cuda:N".
std::optional<std::int64_t> index_of(const std::string& name) {
  const std::string prefix = "cuda:";
  if (!name.starts_with(prefix)) return std::nullopt;
  std::int64_t index = -1;
  const char* const end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + prefix.size(), end, index);
  return error == std::errc() && rest == end && index >= 0 ? std::optional(index) : std::nullopt;
}

}  // namespace

void set_accelerator(const Accelerator& found) {
  // The pretend devices of the tests stand before a card, whichever was named first.
  if (!accelerator() || accelerator()->type != at::kPrivateUse1) accelerator() = found;
}

Devices devices() { return accelerator() ? accelerator()->devices() : Devices{}; }

NoWaiting::NoWaiting(bool wanted) : forbidden_(wanted && accelerator()) {
  if (forbidden_) accelerator()->forbid_waits(true);
}

void NoWaiting::end() {
  if (std::exchange(forbidden_, false)) accelerator()->forbid_waits(false);
}

at::Device device_named(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  const std::optional<std::int64_t> index = index_of(name);
  if (!index) throw Error("[engine] device must be cpu or cuda:N but is " + name);
  if (!accelerator()) throw Error("[engine] device must be cpu in a build without CUDA but is " + name);
  const auto count = static_cast<std::int64_t>(devices().list.size());
  if (*index >= count) {
    throw Error("[engine] device must be one of the " + std::to_string(count) + " that are there but is " + name);
  }
  return {accelerator()->type, static_cast<at::DeviceIndex>(*index)};
}

}  // namespace ehrjepa::memory
