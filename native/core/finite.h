#pragma once
#include <cstdint>
#include <cstring>

namespace ehrjepa {

/// Bits of the exponent, all of which are set in NaN and the infinities.
inline constexpr std::uint32_t kFloatExponent = 0x7f800000u;
inline constexpr std::uint16_t kBfloat16Exponent = 0x7f80u;
inline constexpr std::uint16_t kHalfExponent = 0x7c00u;

/// Place of the first of `count` numbers that is NaN or infinite, or `count` when all are finite.
template <typename Bits>
std::int64_t first_not_finite(const void* numbers, std::int64_t count, Bits exponent) {
  constexpr std::int64_t piece = 4096;
  Bits bits[piece];
  for (std::int64_t begin = 0; begin < count; begin += piece) {
    const std::int64_t length = count - begin < piece ? count - begin : piece;
    std::memcpy(bits, static_cast<const char*>(numbers) + static_cast<std::size_t>(begin) * sizeof(Bits),
                static_cast<std::size_t>(length) * sizeof(Bits));
    bool found = false;
    for (std::int64_t i = 0; i < length; ++i) found |= (bits[i] & exponent) == exponent;
    for (std::int64_t i = 0; found && i < length; ++i) {
      if ((bits[i] & exponent) == exponent) return begin + i;
    }
  }
  return count;
}

}  // namespace ehrjepa
