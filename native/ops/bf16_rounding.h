#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "ops/bf16.h"

namespace ehrjepa::ops {

inline float widen(Bf16 value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}
inline float widen(float value) { return value; }
inline double widen(double value) { return value; }

/// Round to nearest even, as the hardware does; NaN stays NaN.
template <typename T, typename Sum>
T narrow(Sum value) {
  if constexpr (std::is_same_v<T, Bf16>) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    if (std::isnan(value)) return {static_cast<std::uint16_t>((bits >> 16) | 0x40)};
    return {static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
  } else {
    return static_cast<T>(value);
  }
}

}  // namespace ehrjepa::ops
