// Products of small matrices that lie in the nearest caches. Included by files for one instruction set (simd.h).
#pragma once
#include "ops/simd.h"

namespace ehrjepa::ops {
namespace {

/// A left operand: element (i, k) is at data[i * row + k * column].
template <typename E>
struct Strided {
  const E* data;
  std::int64_t row, column;
};

/// Columns that are multiplied at once: two vectors.
template <typename E>
constexpr std::int64_t panel = 2 * lanes<E>;

/// A right operand in panels: element (k, j) is at data[j / panel * stride + k * panel + j % panel]. Rows of a whole
/// matrix lie a power of two apart, so that those of one panel would share a few sets of the nearest cache.
template <typename E>
struct Panels {
  const E* data;
  std::int64_t stride;

  /// From row k and column j on; j is a multiple of `panel`.
  Panels from(std::int64_t k, std::int64_t j) const { return {data + j / panel<E> * stride + k * panel<E>, stride}; }
};

/// Rows whose sums fit the registers beside two vectors of B.
constexpr int product_rows = vector_bytes == 64 ? 12 : 6;

template <typename E, int rows>
[[gnu::always_inline]] inline void product_panel(std::int64_t depth, Strided<E> a, const E* b, E* c, std::int64_t c_row,
                                                 bool add) {
  Vector<E> low[rows], high[rows];
  for (int r = 0; r < rows; ++r) {
    low[r] = add ? load(c + r * c_row) : Vector<E>{};
    high[r] = add ? load(c + r * c_row + lanes<E>) : Vector<E>{};
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    const Vector<E> b_low = load(b + k * panel<E>), b_high = load(b + k * panel<E> + lanes<E>);
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
      const Vector<E> value = broadcast(a.data[r * a.row + k * a.column]);
      low[r] += value * b_low;
      high[r] += value * b_high;
    }
  }
  for (int r = 0; r < rows; ++r) {
    store(c + r * c_row, low[r]);
    store(c + r * c_row + lanes<E>, high[r]);
  }
}

template <typename E, int rows>
void product_rest(std::int64_t left, std::int64_t depth, Strided<E> a, const E* b, E* c, std::int64_t c_row, bool add) {
  if constexpr (rows > 0) {
    if (left == rows) return product_panel<E, rows>(depth, a, b, c, c_row, add);
    product_rest<E, rows - 1>(left, depth, a, b, c, c_row, add);
  }
}

/// C (rows, columns) = A B, or += with `add`. C has its columns side by side; `columns` is a multiple of `panel`.
template <typename E>
void product(std::int64_t rows, std::int64_t columns, std::int64_t depth, Strided<E> a, Panels<E> b, E* c,
             std::int64_t c_row, bool add) {
  for (std::int64_t j = 0; j < columns; j += panel<E>) {
    const E* const of_panel = b.from(0, j).data;
    std::int64_t i = 0;
    for (; i + product_rows <= rows; i += product_rows) {
      product_panel<E, product_rows>(depth, {a.data + i * a.row, a.row, a.column}, of_panel, c + i * c_row + j, c_row,
                                     add);
    }
    product_rest<E, product_rows - 1>(rows - i, depth, {a.data + i * a.row, a.row, a.column}, of_panel,
                                      c + i * c_row + j, c_row, add);
  }
}

}  // namespace
}  // namespace ehrjepa::ops
