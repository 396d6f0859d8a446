#pragma once
#include "contract/names.h"

namespace ehrjepa {

/// dtype of parameters (with their moments and EMA), of a pass or of a file.
enum class Dtype { kFloat32, kFloat16, kBfloat16 };

template <>
struct Names<Dtype> {
  static constexpr Named<Dtype> table[] = {
      {"float32", Dtype::kFloat32}, {"float16", Dtype::kFloat16}, {"bfloat16", Dtype::kBfloat16}};
};

}  // namespace ehrjepa
