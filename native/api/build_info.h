#pragma once
#include <string>

namespace ehrjepa::api {

struct BuildInfo {
  std::string version;         ///< of this package
  std::string torch;           ///< libtorch the addon was compiled against
  bool cuda;                   ///< CUDA kernels compiled in
  std::string cpu_capability;  ///< what libtorch uses on this machine: "AVX512" ...
};
BuildInfo build_info();

}  // namespace ehrjepa::api
