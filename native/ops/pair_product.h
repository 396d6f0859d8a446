// Products of small matrices of bfloat16 that lie in the nearest caches, summed in float32: the summed dimension is
// taken two elements at a time, as the instructions for bfloat16 do (AVX512-BF16). Without them the same sums are made
// of widened elements. Included by files for one instruction set (simd.h).
#pragma once
#include "ops/simd.h"

namespace ehrjepa::ops {
namespace {

/// Two bfloat16 that are neighbours in the summed dimension, the first in the lower half.
typedef std::uint32_t Pair __attribute__((may_alias));

/// sum + first * first + second * second of the pairs of each lane.
[[gnu::always_inline]] inline Vector<float> add_dot(Vector<float> sum, Bits a, Bits b) {
#if defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
  const auto first = [](Bits pair) { return reinterpret_cast<Vector<float> >(pair << 16); };
  const auto second = [](Bits pair) { return reinterpret_cast<Vector<float> >(pair & 0xffff0000U); };
  return sum + second(a) * second(b) + first(a) * first(b);
#endif
}

/// The pairs (first, second) of each lane, rounded to nearest even.
[[gnu::always_inline]] inline Bits paired(Vector<float> first, Vector<float> second) {
#if defined(__AVX512BF16__)
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const auto halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
  return reinterpret_cast<Bits>(_mm512_permutexvar_epi16(order, halves));
#else
  return (bf16_bits(first) >> 16) | (bf16_bits(second) & 0xffff0000U);
#endif
}

/// A left operand: pair (i, k) is at data[i * row + k * column].
struct StridedPairs {
  const Pair* data;
  std::int64_t row, column;
};

/// A right operand: pair (k, j) is at data[k * row + j].
struct PairRows {
  const Pair* data;
  std::int64_t row;
};

/// Sums in float32, columns side by side.
struct Sums {
  float* data;
  std::int64_t row;
};

/// What the sums hold before: nothing, what is added to, or that times a factor for each column.
struct Before {
  bool add;
  const float* factors = nullptr;  ///< (columns), or null
};

template <int vectors, int rows>
[[gnu::always_inline]] inline void pair_tile(std::int64_t depth, StridedPairs a, PairRows b, Sums c, Before before) {
  constexpr int width = lanes<float>;
  Vector<float> sums[rows][vectors];
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) {
      sums[r][v] = before.add ? load(c.data + r * c.row + v * width) : Vector<float>{};
    }
  }
  if (before.factors != nullptr) {
    for (int v = 0; v < vectors; ++v) {
      const Vector<float> factor = load(before.factors + v * width);
      for (int r = 0; r < rows; ++r) sums[r][v] *= factor;
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Bits right[vectors];
    for (int v = 0; v < vectors; ++v) right[v] = load_bits(b.data + k * b.row + v * width);
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
      const Bits left = Bits{} + a.data[r * a.row + k * a.column];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[r][v] = add_dot(sums[r][v], left, right[v]);
    }
  }
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) store(c.data + r * c.row + v * width, sums[r][v]);
  }
}

template <int vectors, int rows>
void pair_rows_left(std::int64_t left, std::int64_t depth, StridedPairs a, PairRows b, Sums c, Before before) {
  if constexpr (rows > 0) {
    if (left == rows) return pair_tile<vectors, rows>(depth, a, b, c, before);
    pair_rows_left<vectors, rows - 1>(left, depth, a, b, c, before);
  }
}

template <int vectors, int tile_rows>
void pair_panel(std::int64_t rows, std::int64_t depth, StridedPairs a, PairRows b, Sums c, Before before) {
  std::int64_t i = 0;
  for (; i + tile_rows <= rows; i += tile_rows) {
    pair_tile<vectors, tile_rows>(depth, {a.data + i * a.row, a.row, a.column}, b, {c.data + i * c.row, c.row}, before);
  }
  pair_rows_left<vectors, tile_rows - 1>(rows - i, depth, {a.data + i * a.row, a.row, a.column}, b,
                                         {c.data + i * c.row, c.row}, before);
}

/// C (rows, columns) = before + A B, where A has `depth` columns of pairs; `columns` is a multiple of 32.
void pair_product(std::int64_t rows, std::int64_t columns, std::int64_t depth, StridedPairs a, PairRows b, Sums c,
                  Before before) {
  constexpr std::int64_t wide = 4 * lanes<float>, narrow = 2 * lanes<float>;
  const auto from = [&](std::int64_t j) -> Before {
    return {before.add, before.factors == nullptr ? nullptr : before.factors + j};
  };
  std::int64_t j = 0;
  for (; j + wide <= columns; j += wide) {
    pair_panel<4, 6>(rows, depth, a, {b.data + j, b.row}, {c.data + j, c.row}, from(j));
  }
  for (; j < columns; j += narrow) {
    pair_panel<2, 12>(rows, depth, a, {b.data + j, b.row}, {c.data + j, c.row}, from(j));
  }
}

}  // namespace
}  // namespace ehrjepa::ops
