#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "contract/fields.h"

namespace ehrjepa {

/// A card that libtorch sees.
struct DeviceInfo {
  std::string name;        ///< of the product
  std::int64_t major = 0;  ///< compute capability: 8.0 is sm_80
  std::int64_t minor = 0;
  std::int64_t memory = 0;  ///< bytes
  std::int64_t held = 0;    ///< bytes that this process's tensors hold there now
  std::int64_t peak = 0;    ///< the most that they held at one time
};
template <>
struct Fields<DeviceInfo> {
  static constexpr auto list = std::tuple(field("name", &DeviceInfo::name), field("major", &DeviceInfo::major),
                                          field("minor", &DeviceInfo::minor), field("memory", &DeviceInfo::memory),
                                          field("held", &DeviceInfo::held), field("peak", &DeviceInfo::peak));
};

/// What `cuda` comes to in this build on this machine.
struct Devices {
  bool built = false;            ///< the build can compute there
  std::string driver;            ///< version of CUDA that the driver serves: "13.0"; empty without one
  std::vector<DeviceInfo> list;  ///< number N is `cuda:N`
};
template <>
struct Fields<Devices> {
  static constexpr auto list =
      std::tuple(field("built", &Devices::built), field("driver", &Devices::driver), field("list", &Devices::list));
};

}  // namespace ehrjepa
