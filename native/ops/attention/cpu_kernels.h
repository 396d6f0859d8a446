#pragma once
#include <cstdint>

#include "ops/kernel_set.h"

// Blocks of the CPU implementation, free of libtorch types: one source (cpu_kernels.cpp) is compiled for every
// instruction set. T is the type of the tensors; E, float or double, that of all that is computed.

namespace ehrjepa::ops::attention_cpu {

/// Query rows of a block, and keys of one.
constexpr std::int64_t block = 64;
/// Heads are padded with zeros to a multiple of this.
constexpr std::int64_t head_multiple = 32;

/// Keys that rows of one segment see: all of [context_begin, context_end), and of their own rows from own_begin on
/// those up to their position, or at their position alone.
struct Seen {
  std::int64_t context_begin, context_end;
  std::int64_t own_begin;
  bool isolated;
};

/// All key rows of one key/value head, block by block, `block` x padded elements each: as right operands of products
/// over the rows, and over the elements of a head (tile_product.h).
template <typename E>
struct PackedHead {
  E* key_columns;
  E* value_rows;     ///< forward alone
  E* key_rows;       ///< backward alone
  E* value_columns;  ///< backward alone
};

/// Up to `block` query rows of one head and one segment.
template <typename T, typename E>
struct QueryBlock {
  const T* q;
  std::int64_t q_row;  ///< elements from one row to the next
  std::int64_t rows;
  const std::int64_t* positions;  ///< (rows) their places among the keys, ascending
  Seen seen;
  PackedHead<E> head;
  std::int64_t head_dim, padded;
  double softmax_scale;
  T* out;
  std::int64_t out_row;
  E* log_sum;    ///< (rows) base-2 logarithm of the sum of 2^(scaled scores)
  E* workspace;  ///< `workspace_size` elements
};

/// What the backward pass needs and makes beside a query block. `QueryBlock::out` and `log_sum` are then read.
template <typename T, typename E>
struct BackwardBlock {
  const T* grad_out;  ///< rows as `out` has
  T* grad_q;          ///< rows as `out` has
  E* grad_keys;       ///< (key rows, padded) of this query head: added to
  E* grad_values;     ///< the same
};

/// Elements of scratch memory for one block of either pass.
constexpr std::int64_t workspace_size(std::int64_t padded) {
  return 5 * block * padded + 2 * block * block + 20 * block;
}

template <typename T, typename E>
struct Kernels {
  /// Packs key rows [first, first + rows) of one head, where `first` is a multiple of `block`; rows up to the end of
  /// the block become zeros.
  void (*pack)(const T* keys, const T* values, std::int64_t row_elements, std::int64_t first, std::int64_t rows,
               std::int64_t head_dim, std::int64_t padded, bool backward, const PackedHead<E>& head);
  void (*forward)(const QueryBlock<T, E>& queries);
  void (*backward)(const QueryBlock<T, E>& queries, const BackwardBlock<T, E>& gradients);
};

extern const KernelSet<Kernels> plain_kernels, avx2_kernels, avx512_kernels;

}  // namespace ehrjepa::ops::attention_cpu
