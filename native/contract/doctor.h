#pragma once
#include <cstdint>
#include <string>

#include "contract/fields.h"

namespace ehrjepa {

struct OpCheckOptions {
  std::string device = "cpu";  ///< or "cuda:N"
  bool quick = false;          ///< times small tensors
};
template <>
struct Fields<OpCheckOptions> {
  static constexpr auto list =
      std::tuple(field("device", &OpCheckOptions::device), field("quick", &OpCheckOptions::quick));
};

/// An op with its gradient on a device, against its reference in float64 on the CPU.
struct OpCheck {
  std::string name;
  bool kernels = false;        ///< the op's own; else its reference, in plain ATen, computes there
  double float32_error = 0.0;  ///< |found - expected| / |expected|, L2, the largest over results and gradients; -1:
                               ///< there is no such thing in float32
  double float32_limit = 0.0;
  double bfloat16_error = 0.0;
  double bfloat16_limit = 0.0;
  double seconds = 0.0;           ///< forward and backward, median
  std::string dtype = "float32";  ///< that was timed
  double flops = 0.0;             ///< multiplications and additions of that; 0 where they do not count
  double bytes = 0.0;             ///< least that it reads and writes
};
template <>
struct Fields<OpCheck> {
  static constexpr auto list =
      std::tuple(field("name", &OpCheck::name), field("kernels", &OpCheck::kernels),
                 field("float32_error", &OpCheck::float32_error), field("float32_limit", &OpCheck::float32_limit),
                 field("bfloat16_error", &OpCheck::bfloat16_error), field("bfloat16_limit", &OpCheck::bfloat16_limit),
                 field("seconds", &OpCheck::seconds), field("dtype", &OpCheck::dtype), field("flops", &OpCheck::flops),
                 field("bytes", &OpCheck::bytes));
};

}  // namespace ehrjepa
