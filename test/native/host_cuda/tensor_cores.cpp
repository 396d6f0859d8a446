// ldmatrix and mma.sync, by the layouts of the PTX manual (mma.m16n8k16 for .bf16, ldmatrix for .b16).
#include <cmath>
#include <cstring>

#include "cuda_bf16.h"
#include "engine.h"
#include "tensor_core_intrinsics.h"

namespace host_cuda {
namespace {

struct Load {
  const void* row;
  std::uint32_t* result;
};

template <bool transposed>
void load(void* const (&lanes)[32]) {
  for (unsigned tile = 0; tile < 4; ++tile) {
    std::uint16_t elements[8][8];
    const void* rows[8];
    for (unsigned r = 0; r < 8; ++r) {
      rows[r] = static_cast<const Load*>(lanes[tile * 8 + r])->row;
      std::memcpy(elements[r], rows[r], sizeof elements[r]);
    }
    use_banks_of_matrix(rows);
    for (unsigned lane = 0; lane < 32; ++lane) {
      const unsigned row = lane / 4, column = lane % 4 * 2;
      const std::uint16_t low = transposed ? elements[column][row] : elements[row][column];
      const std::uint16_t high = transposed ? elements[column + 1][row] : elements[row][column + 1];
      static_cast<const Load*>(lanes[lane])->result[tile] = low | std::uint32_t{high} << 16;
    }
  }
}

struct Product {
  float* d;
  const std::uint32_t *a, *b;
};

float half(std::uint32_t word, unsigned which) {
  return __bfloat162float({static_cast<std::uint16_t>(word >> (16 * which))});
}

void multiply(void* const (&lanes)[32]) {
  float a[16][16], b[16][8], d[16][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const auto& one = *static_cast<const Product*>(lanes[lane]);
    const unsigned group = lane / 4, pair = lane % 4 * 2;
    for (unsigned i = 0; i < 2; ++i) {
      for (unsigned part = 0; part < 4; ++part) a[group + part % 2 * 8][pair + part / 2 * 8 + i] = half(one.a[part], i);
      for (unsigned part = 0; part < 2; ++part) {
        b[pair + part * 8 + i][group] = half(one.b[part], i);
        d[group + part * 8][pair + i] = one.d[part * 2 + i];
      }
    }
  }
  for (unsigned k = 0; k < 16; ++k) {
    for (unsigned row = 0; row < 16; ++row) {
      for (unsigned column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    }
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    const auto& one = *static_cast<const Product*>(lanes[lane]);
    for (unsigned part = 0; part < 4; ++part) one.d[part] = d[lane / 4 + part / 2 * 8][lane % 4 * 2 + part % 2];
  }
}

}  // namespace

void load_matrices(std::uint32_t (&result)[4], const void* row, bool transposed, Where where) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0)
    fail("misaligned: a row of a matrix must be a multiple of 16 bytes");
  touch(row, 16, Access::kRead, nullptr);
  Load mine{row, result};
  if (transposed) {
    collective(&load<true>, "a transposed load of matrices", &mine, where);
  } else {
    collective(&load<false>, "a load of matrices", &mine, where);
  }
}

void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Where where) {
  Product mine{d, a, b};
  collective(&multiply, "a product of matrices", &mine, where);
}

}  // namespace host_cuda
