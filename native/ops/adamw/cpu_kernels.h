#pragma once
#include <cstdint>

#include "ops/bf16.h"

// Element kernels of the CPU implementation, free of libtorch types: one source (cpu_kernels.cpp) is compiled for
// every instruction set, and gives the same bits on each.

namespace ehrjepa::ops::adamw_cpu {

/// Elements whose random words are made together; a range that is updated starts at a multiple of it.
constexpr std::int64_t tile = 32;

/// What one update of one parameter is computed with, in float32.
struct Factors {
  float gradient_scale;
  float decay;       ///< 1 - learning rate * weight decay
  float beta1_rest;  ///< 1 - beta1
  float beta2;
  float beta2_rest;  ///< 1 - beta2
  float step_size;   ///< learning rate / (1 - beta1^t)
  float root_scale;  ///< (1 - beta2^t)^-1/2
  float epsilon;
  bool from_parameter;  ///< the target is worked out from the parameter, or from itself: the nearer
  float target_share;   ///< of the way to the parameter that is added: -momentum, or 1 - momentum
};

/// Which words the rounding of an update draws: key and the counter's upper words.
struct RoundingKey {
  std::uint32_t seed_low, seed_high;
  std::uint32_t step, parameter, purpose;
};

/// The arrays of one parameter.
template <typename T>
struct Arrays {
  T* parameter;
  T* exp_avg;
  T* exp_avg_sq;
  T* target;          ///< null: no target encoder holds this parameter
  const T* gradient;  ///< null: the target alone moves
};

/// Updates elements [begin, end).
template <typename T>
using Update = void (*)(const Arrays<T>& arrays, std::int64_t begin, std::int64_t end, const Factors& factors,
                        const RoundingKey& key);

/// Sum of squares of elements [begin, end), in float64.
template <typename T>
using SumOfSquares = double (*)(const T* values, std::int64_t begin, std::int64_t end);

/// One instruction set's kernels. bfloat16 values are rounded stochastically.
struct Kernels {
  Update<float> float32;
  Update<Bf16> bfloat16;
  SumOfSquares<float> squares_float32;
  SumOfSquares<Bf16> squares_bfloat16;
};

extern const Kernels plain_kernels, avx2_kernels, avx512_kernels;

}  // namespace ehrjepa::ops::adamw_cpu
