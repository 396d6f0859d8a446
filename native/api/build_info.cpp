#include "api/build_info.h"

#include <ATen/Context.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include "ops/isa.h"

namespace ehrjepa::api {

BuildInfo build_info() {
#ifdef EHR_JEPA_WITH_CUDA
  constexpr bool cuda = true;
#else
  constexpr bool cuda = false;
#endif
  return {EHR_JEPA_VERSION, TORCH_VERSION, cuda, at::get_cpu_capability(), ops::multiplies_bfloat16()};
}

}  // namespace ehrjepa::api
