#pragma once
#include <cstdint>

namespace ehrjepa::ops {

/// A bfloat16 as the kernels see it: no libtorch type, and no function that a file for one instruction set could leave
/// in the program for all.
struct Bf16 {
  std::uint16_t bits;
};

}  // namespace ehrjepa::ops
