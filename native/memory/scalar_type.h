#pragma once
#include <c10/core/ScalarType.h>

#include "contract/dtype.h"

namespace ehrjepa::memory {

constexpr c10::ScalarType scalar_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFloat16:
      return c10::ScalarType::Half;
    case Dtype::kBfloat16:
      return c10::ScalarType::BFloat16;
    case Dtype::kFloat32:
      break;
  }
  return c10::ScalarType::Float;
}

}  // namespace ehrjepa::memory
