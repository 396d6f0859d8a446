#pragma once
#include <string>

#include "contract/fields.h"

namespace ehrjepa {

struct BuildInfo {
  std::string version;               ///< of this package
  std::string torch;                 ///< libtorch the addon was compiled against
  bool cuda = false;                 ///< CUDA kernels compiled in
  std::string cpu_capability;        ///< what libtorch uses on this machine: "AVX512" ...
  bool multiplies_bfloat16 = false;  ///< this machine's processor has products of bfloat16
};
template <>
struct Fields<BuildInfo> {
  static constexpr auto list =
      std::tuple(field("version", &BuildInfo::version), field("torch", &BuildInfo::torch),
                 field("cuda", &BuildInfo::cuda), field("cpu_capability", &BuildInfo::cpu_capability),
                 field("multiplies_bfloat16", &BuildInfo::multiplies_bfloat16));
};

}  // namespace ehrjepa
