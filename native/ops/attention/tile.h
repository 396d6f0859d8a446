// Tiles of rows in shared memory, and the fragments of them that the tensor cores take.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/async_copy.h"
#include "ops/cuda/tensor_core.h"

namespace ehrjepa::kernels {

constexpr int attention_threads = 128;
constexpr float log2_e = 1.4426950408889634f;

/// Rows of `size` bfloat16. Chunk c of 16 bytes of row r lies at c ^ (r % 8): eight rows at one chunk, which is what
/// ldmatrix reads at a time, meet no two in a bank.
template <int size>
struct Tile {
  static constexpr int chunks = size / 8;
  __nv_bfloat16* elements;

  __device__ __nv_bfloat16* at(int row, int chunk) const { return elements + row * size + ((chunk ^ (row & 7)) << 3); }

  /// Issues copies of rows [0, rows), of which `count` are there; the others become 0.
  template <int rows>
  __device__ void bring(const __nv_bfloat16* from, std::int64_t stride, int count) const {
#pragma unroll 2
    for (int i = static_cast<int>(threadIdx.x); i < rows * chunks; i += attention_threads) {
      const int row = i / chunks, chunk = i % chunks;
      copy_async(at(row, chunk), row < count ? from + row * stride + chunk * 8 : from, row < count);
    }
  }
};

/// A (16 x 16) of rows from `row` on and columns from 16 `step` on.
template <int size>
__device__ __forceinline__ void load_a(std::uint32_t (&a)[4], const Tile<size>& tile, int row, int step) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  load_matrices<false>(a, tile.at(row + lane % 16, step * 2 + lane / 16));
}

/// Two B (16 x 8) beside each other, whose columns are the tile's rows from `row` on, at its columns from 16 `step` on.
template <int size>
__device__ __forceinline__ void load_b(std::uint32_t (&first)[2], std::uint32_t (&second)[2], const Tile<size>& tile,
                                       int row, int step) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  std::uint32_t words[4];
  load_matrices<false>(words, tile.at(row + lane % 8 + lane / 16 * 8, step * 2 + lane / 8 % 2));
  first[0] = words[0], first[1] = words[1], second[0] = words[2], second[1] = words[3];
}

/// Two B (16 x 8) beside each other, whose rows are the tile's from `row` on, at its chunks `chunk` and the next.
template <int size>
__device__ __forceinline__ void load_b_of_rows(std::uint32_t (&first)[2], std::uint32_t (&second)[2],
                                               const Tile<size>& tile, int row, int chunk) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  std::uint32_t words[4];
  load_matrices<true>(words, tile.at(row + lane % 16, chunk + lane / 16));
  first[0] = words[0], first[1] = words[1], second[0] = words[2], second[1] = words[3];
}

/// sums (16 x 8 n) = the warp's 16 rows of `left` times the rows of `right`: products of rows with rows.
/// @param at_once  steps that are unrolled; with all of them the compiler keeps every address in a register.
template <int at_once, int n, int size>
__device__ __forceinline__ void rows_by_rows(float (&sums)[n][4], const Tile<size>& left, int row,
                                             const Tile<size>& right) {
#pragma unroll at_once
  for (int step = 0; step < size / 16; ++step) {
    std::uint32_t a[4];
    load_a(a, left, row, step);
#pragma unroll
    for (int j = 0; j < n; j += 2) {
      std::uint32_t b[2][2];
      load_b(b[0], b[1], right, j * 8, step);
      multiply_add(sums[j], a, b[0]);
      multiply_add(sums[j + 1], a, b[1]);
    }
  }
}

/// sums (16 x size) += weights (16 x 8 n), rounded to bfloat16, times the rows of `right`: what a product left in the
/// registers of a lane is what the next takes from them.
template <int n, int size>
__device__ __forceinline__ void weights_by_rows(float (&sums)[size / 8][4], const float (&weights)[n][4],
                                                const Tile<size>& right) {
#pragma unroll
  for (int step = 0; step < n / 2; ++step) {
    const float (&low)[4] = weights[2 * step], (&high)[4] = weights[2 * step + 1];
    const std::uint32_t a[4] = {pack(low[0], low[1]), pack(low[2], low[3]), pack(high[0], high[1]),
                                pack(high[2], high[3])};
#pragma unroll
    for (int j = 0; j < size / 8; j += 2) {
      std::uint32_t b[2][2];
      load_b_of_rows(b[0], b[1], right, step * 16, j);
      multiply_add(sums[j], a, b[0]);
      multiply_add(sums[j + 1], a, b[1]);
    }
  }
}

/// Writes the warp's rows from registers. @param count  of the rows from `row` on are there.
template <int size>
__device__ __forceinline__ void store_rows(__nv_bfloat16* to, std::int64_t stride, const float (&sums)[size / 8][4],
                                           int row, int count, float first_scale, float second_scale) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + lane / 4 + half * 8;
    if (r >= count) continue;
    const float scale = half == 0 ? first_scale : second_scale;
#pragma unroll
    for (int j = 0; j < size / 8; ++j) {
      *reinterpret_cast<std::uint32_t*>(to + r * stride + j * 8 + lane % 4 * 2) =
          pack(sums[j][half * 2] * scale, sums[j][half * 2 + 1] * scale);
    }
  }
}

/// Keys [low, high) that a query sees.
struct Seen {
  int low, high;
  __device__ bool operator()(int key) const { return key >= low && key < high; }
};

}  // namespace ehrjepa::kernels
