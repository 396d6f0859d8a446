#pragma once
#include <string>
#include <string_view>

#include "core/error.h"

namespace ehrjepa {

/// dtype of parameters or of the forward and backward pass. Moments and the EMA are float32 with either.
enum class ComputeDtype { kFloat32, kBfloat16 };

/// @param argument  name of the option, for the message.
inline ComputeDtype parse_compute_dtype(std::string_view name, const std::string& argument = "computeDtype") {
  if (name == "float32") return ComputeDtype::kFloat32;
  if (name == "bfloat16") return ComputeDtype::kBfloat16;
  throw Error("[engine] " + argument + " must be float32 or bfloat16 but is " + std::string(name));
}

}  // namespace ehrjepa
