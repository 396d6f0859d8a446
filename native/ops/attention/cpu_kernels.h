#pragma once
#include <cstdint>

#include "ops/kernel_set.h"

// Blocks of the CPU implementation, free of libtorch types: one source (cpu_kernels.cpp) is compiled for every
// instruction set, another (cpu_pair_kernels.cpp) for the products of bfloat16. T is the type of the tensors; E, float
// or double, that of all that is computed; P that of the packed keys and values.

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

/// All key rows of one key/value head in copies that the kernels lay out as they read them, block by block, `block` x
/// padded elements each.
template <typename P>
struct PackedHead {
  P* first;
  std::int64_t elements;  ///< of one copy

  P* copy(int i, std::int64_t row, std::int64_t padded) const { return first + i * elements + row * padded; }
};

/// Up to `block` query rows of one head and one segment.
template <typename T, typename E, typename P>
struct QueryBlock {
  const T* q;
  std::int64_t q_row;  ///< elements from one row to the next
  std::int64_t rows;
  const std::int64_t* positions;  ///< (rows) their places among the keys, ascending
  Seen seen;
  PackedHead<P> head;
  std::int64_t head_dim, padded;
  double softmax_scale;
  T* out;
  std::int64_t out_row;
  E* log_sum;    ///< (rows) base-2 logarithm of the sum of 2^(scaled scores)
  E* workspace;  ///< `workspace_size` elements, at a multiple of 64 bytes
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
  return 5 * block * padded + 4 * block * block + 20 * block;
}

template <typename T, typename E, typename P>
struct KernelsOf {
  std::int64_t forward_copies, backward_copies;  ///< of keys and values that each pass reads
  /// Packs key rows [first, first + rows) of one head, where `first` is a multiple of `block`; rows up to the end of
  /// the block become zeros.
  void (*pack)(const T* keys, const T* values, std::int64_t row_elements, std::int64_t first, std::int64_t rows,
               std::int64_t head_dim, std::int64_t padded, bool backward, const PackedHead<P>& head);
  void (*forward)(const QueryBlock<T, E, P>& queries);
  void (*backward)(const QueryBlock<T, E, P>& queries, const BackwardBlock<T, E>& gradients);
};

/// Kernels that compute, and pack, in E.
template <typename T, typename E>
using Kernels = KernelsOf<T, E, E>;
/// Kernels that multiply pairs of bfloat16 and sum in float32 (pair_product.h).
using PairKernels = KernelsOf<Bf16, float, Bf16>;

extern const KernelSet<Kernels> plain_kernels, avx2_kernels, avx512_kernels;
/// For processors that `multiplies_bfloat16`.
extern const PairKernels avx512_bf16_pair_kernels;

}  // namespace ehrjepa::ops::attention_cpu
