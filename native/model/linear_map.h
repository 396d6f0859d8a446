#pragma once
#include <cstddef>

namespace ehrjepa::model {

/// The linear maps of a decoder block, in the order of the files.
enum class LinearMap { kQ, kK, kV, kO, kGate, kUp, kDown };
inline constexpr std::size_t linear_maps = 7;

}  // namespace ehrjepa::model
