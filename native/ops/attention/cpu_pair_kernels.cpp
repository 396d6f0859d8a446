// Attention in bfloat16 for processors that multiply it, and sum in float32 (CMakeLists.txt, EHRJEPA_ISA).
//
// All products have query rows as columns: scores are (keys, queries) and the output is (elements, queries), so that
// the largest score, the sum and the correction of a query lie in lanes of vectors and nothing is summed across them.
// Of the left operands only pairs are read, broadcast, so that keys and values need no transposition.
#include "ops/attention/cpu_kernels.h"
#include "ops/attention/cpu_visible.h"
#include "ops/pair_product.h"
#include "ops/vector_loop.h"

namespace ehrjepa::ops::attention_cpu {
namespace {

using Floats = Vector<float>;
using Queries = QueryBlock<Bf16, float, Bf16>;
constexpr std::int64_t width = lanes<float>;
constexpr double log2_e = 1.4426950408889634;

// The copies of a head: its rows as they are, and two rows interleaved to a row of pairs.
constexpr int key_rows = 0;
constexpr int value_pairs = 1;                // forward
constexpr int value_rows = 1, key_pairs = 2;  // backward

Pair* pairs(Bf16* elements) { return reinterpret_cast<Pair*>(elements); }

[[gnu::always_inline]] inline Bf16 element_of(const Bf16* row, std::int64_t i, std::int64_t size) {
  return row != nullptr && i < size ? row[i] : Bf16{0};
}

/// (block, padded): rows and elements that there are not are 0.
void copy_rows(const Bf16* from, std::int64_t from_row, std::int64_t rows, std::int64_t size, std::int64_t padded,
               Bf16* to) {
  for (std::int64_t r = 0; r < block; ++r) {
    const Bf16* const row = r < rows ? from + r * from_row : nullptr;
    if (row != nullptr) __builtin_memcpy(to + r * padded, row, static_cast<std::size_t>(size) * sizeof(Bf16));
    for (std::int64_t i = row != nullptr ? size : 0; i < padded; ++i) to[r * padded + i] = {0};
  }
}

/// (block / 2, padded) pairs of one element of two rows.
void interleave_rows(const Bf16* from, std::int64_t from_row, std::int64_t rows, std::int64_t size, std::int64_t padded,
                     Bf16* to) {
  for (std::int64_t r = 0; r < block; r += 2) {
    Pair* const of_rows = pairs(to + r * padded);
    const Bf16* const first = r < rows ? from + r * from_row : nullptr;
    const Bf16* const second = r + 1 < rows ? first + from_row : nullptr;
    std::int64_t i = 0;
    if (second != nullptr) {
      for (; i < size; ++i) of_rows[i] = first[i].bits | std::uint32_t{second[i].bits} << 16;
    }
    for (; i < padded; ++i) {
      of_rows[i] = element_of(first, i, size).bits | std::uint32_t{element_of(second, i, size).bits} << 16;
    }
  }
}

/// (padded / 2, block) pairs of two elements of one row, from `copy_rows`.
void transpose_pairs(const Bf16* rows, std::int64_t padded, Bf16* to) {
  const Pair* const from = reinterpret_cast<const Pair*>(rows);
  Pair* const columns = pairs(to);
  constexpr std::int64_t step = 16;
  for (std::int64_t d = 0; d < padded / 2; d += step) {
    for (std::int64_t r = 0; r < block; ++r) {
      for (std::int64_t i = d; i < d + step; ++i) columns[i * block + r] = from[r * (padded / 2) + i];
    }
  }
}

void pack(const Bf16* keys, const Bf16* values, std::int64_t row_elements, std::int64_t first, std::int64_t rows,
          std::int64_t head_dim, std::int64_t padded, bool backward, const PackedHead<Bf16>& head) {
  const Bf16* const from_keys = keys + first * row_elements;
  const Bf16* const from_values = values + first * row_elements;
  const auto to = [&](int copy) { return head.copy(copy, first, padded); };
  copy_rows(from_keys, row_elements, rows, head_dim, padded, to(key_rows));
  if (backward) {
    copy_rows(from_values, row_elements, rows, head_dim, padded, to(value_rows));
    interleave_rows(from_keys, row_elements, rows, head_dim, padded, to(key_pairs));
  } else {
    interleave_rows(from_values, row_elements, rows, head_dim, padded, to(value_pairs));
  }
}

/// What each query of a block sees of a block of keys: [begin, end), nothing where there is no query.
struct Limits {
  std::int32_t begin[block], end[block];

  Limits(const Visible& visible, std::int64_t rows) {
    for (std::int64_t i = 0; i < block; ++i) {
      begin[i] = i < rows ? static_cast<std::int32_t>(visible.begin(i)) : 0;
      end[i] = i < rows ? static_cast<std::int32_t>(visible.end(i)) : 0;
    }
  }
};

/// Queries [first, first + columns) of a block, and keys [begin, end) of one, even numbers, that one of them sees.
struct Panel {
  std::int64_t first, columns, begin, end;
  bool whole;  ///< each query sees each of these keys
};

/// Calls `run` with panels of queries: all, where they see the same, or a few, so that less is computed in vain.
template <typename Run>
[[gnu::always_inline]] inline void for_panels(const Visible& visible, std::int64_t rows, const Run& run) {
  const std::int64_t columns = visible.uniform(rows) ? block : 2 * width;
  for (std::int64_t first = 0; first < rows; first += columns) {
    const std::int64_t last = first + columns < rows ? first + columns - 1 : rows - 1;
    const std::int64_t begin = visible.begin(first), end = visible.end(last);
    if (begin >= end) continue;
    const bool same = visible.begin(last) == begin && visible.end(first) == end && last - first + 1 == columns;
    run(Panel{first, columns, begin / 2 * 2, (end + 1) / 2 * 2, same && begin % 2 == 0 && end % 2 == 0});
  }
}

/// (keys, queries) products of a panel's rows of keys, or values, with the queries' columns.
void panel_products(const Panel& panel, const Pair* rows, Bf16* columns, std::int64_t padded, float* to) {
  pair_product(panel.end - panel.begin, panel.columns, padded / 2, {rows + panel.begin * padded / 2, padded / 2, 1},
               {pairs(columns) + panel.first, block}, {to + panel.begin * block + panel.first, block}, {false});
}

/// Scores of key j with the queries of a vector, times `scale`; `lowest` where the query does not see the key.
[[gnu::always_inline]] inline Floats seen_scores(const float* scores, const Limits& limits, std::int64_t j,
                                                 std::int64_t query, bool whole, float scale, float lowest) {
  const Floats values = load(scores + j * block + query) * scale;
  if (whole) return values;
  const auto key = IntVector{} + static_cast<std::int32_t>(j);
  const auto begin = reinterpret_cast<IntVector>(load_bits(reinterpret_cast<const Pair*>(limits.begin + query)));
  const auto end = reinterpret_cast<IntVector>(load_bits(reinterpret_cast<const Pair*>(limits.end + query)));
  return (key >= begin) & (key < end) ? values : broadcast(lowest);
}

/// Rows of bfloat16 from columns of float32: `from` is (padded, block), times a factor for each column. Two elements of
/// a row lie in a pair, so that half as many values are moved as there are.
void write_rows(const float* from, const float* factors, std::int64_t rows, std::int64_t size, Bf16* to,
                std::int64_t to_row, Pair* scratch) {
  for (std::int64_t d = 0; d < size; d += 2) {
    for (std::int64_t i = 0; i < block; i += width) {
      const Floats factor = load(factors + i);
      store_bits(scratch + d / 2 * block + i,
                 paired(load(from + d * block + i) * factor, load(from + (d + 1) * block + i) * factor));
    }
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    Bf16* const row = to + i * to_row;
    for (std::int64_t d = 0; d + 1 < size; d += 2) {
      __builtin_memcpy(row + d, scratch + d / 2 * block + i, sizeof(Pair));
    }
    if (size % 2 == 1) row[size - 1] = {static_cast<std::uint16_t>(scratch[size / 2 * block + i])};
  }
}

void forward(const Queries& queries) {
  const std::int64_t padded = queries.padded, rows = queries.rows;
  float* const out = queries.workspace;        // (padded, block)
  float* const scores = out + block * padded;  // (keys, queries)
  float* const maximum = scores + block * block;
  float* const sum = maximum + block;
  float* const correction = sum + block;
  auto* const q_rows = reinterpret_cast<Bf16*>(correction + block);
  Bf16* const q_columns = q_rows + block * padded;
  Bf16* const weights = q_columns + block * padded;  // pairs of keys (block / 2, queries)
  copy_rows(queries.q, queries.q_row, rows, queries.head_dim, padded, q_rows);
  transpose_pairs(q_rows, padded, q_columns);
  for (std::int64_t i = 0; i < block * padded; i += width) store(out + i, Floats{});
  const float lowest = -__builtin_huge_valf();
  for (std::int64_t i = 0; i < block; i += width) {
    store(maximum + i, broadcast(lowest));
    store(sum + i, Floats{});
  }
  const auto scale = static_cast<float>(queries.softmax_scale * log2_e);
  for_key_blocks(queries, [&](const Visible& visible) {
    const Limits limits(visible, rows);
    const Pair* const keys = pairs(queries.head.copy(key_rows, visible.first, padded));
    const Pair* const values = pairs(queries.head.copy(value_pairs, visible.first, padded));
    for_panels(visible, rows, [&](const Panel& panel) {
      const auto [first, columns, begin, end, whole] = panel;
      panel_products(panel, keys, q_columns, padded, scores);
      for (std::int64_t query = first; query < first + columns; query += width) {
        const auto score = [&](std::int64_t j) { return seen_scores(scores, limits, j, query, whole, scale, lowest); };
        const Floats before = load(maximum + query);
        Floats largest = before, other = before;
        for (std::int64_t j = begin; j < end; j += 2) {
          const Floats even = score(j), odd = score(j + 1);
          largest = larger_of(even, largest);
          other = larger_of(odd, other);
        }
        largest = larger_of(other, largest);
        store(maximum + query, largest);
        // A query that has seen nothing yet: 0, for 2^(-inf) to be 0.
        const Floats base = largest == lowest ? Floats{} : largest;
        Floats even_sum{}, odd_sum{};
        for (std::int64_t j = begin; j < end; j += 2) {
          const Floats even = exp2_of(score(j) - base), odd = exp2_of(score(j + 1) - base);
          even_sum += even;
          odd_sum += odd;
          store_bits(pairs(weights) + j / 2 * block + query, paired(even, odd));
        }
        const Floats factor = exp2_of(before - base);
        store(correction + query, factor);
        store(sum + query, load(sum + query) * factor + even_sum + odd_sum);
      }
      pair_product(padded, columns, (end - begin) / 2, {values + begin / 2 * padded, 1, padded},
                   {pairs(weights) + begin / 2 * block + first, block}, {out + first, block},
                   {true, correction + first});
    });
  });
  for (std::int64_t i = 0; i < block; i += width) store(correction + i, 1.0F / load(sum + i));
  write_rows(out, correction, rows, queries.head_dim, queries.out, queries.out_row, pairs(q_rows));
  for (std::int64_t i = 0; i < rows; ++i) {
    queries.log_sum[i] = maximum[i] + static_cast<float>(__builtin_log2(static_cast<double>(sum[i])));
  }
}

void backward(const Queries& queries, const BackwardBlock<Bf16, float>& gradients) {
  const std::int64_t padded = queries.padded, rows = queries.rows;
  float* const grad_q = queries.workspace;         // (padded, queries)
  float* const scores = grad_q + block * padded;   // (keys, queries)
  float* const products = scores + block * block;  // of values and gradients of the output, likewise
  float* const log_sum = products + block * block;
  float* const inner = log_sum + block;
  auto* const q_pairs = reinterpret_cast<Bf16*>(inner + block);  // pairs of queries (block / 2, padded)
  Bf16* const grad_pairs = q_pairs + block * padded;
  Bf16* const q_columns = grad_pairs + block * padded;  // pairs of elements (padded / 2, queries)
  Bf16* const grad_columns = q_columns + block * padded;
  Bf16* const weights = grad_columns + block * padded;         // pairs of queries (keys, block / 2)
  Bf16* const grad_scores = weights + block * block;           // likewise
  Bf16* const grad_score_pairs = grad_scores + block * block;  // pairs of keys (block / 2, queries)
  const auto prepare = [&](const Bf16* from, std::int64_t row, Bf16* interleaved, Bf16* columns) {
    auto* const copy = reinterpret_cast<Bf16*>(grad_q);  // not yet in use
    copy_rows(from, row, rows, queries.head_dim, padded, copy);
    transpose_pairs(copy, padded, columns);
    interleave_rows(from, row, rows, queries.head_dim, padded, interleaved);
  };
  prepare(queries.q, queries.q_row, q_pairs, q_columns);
  prepare(gradients.grad_out, queries.out_row, grad_pairs, grad_columns);
  for (std::int64_t i = 0; i < block * padded; i += width) store(grad_q + i, Floats{});
  for (std::int64_t i = 0; i < block; i += width) {
    store(inner + i, Floats{});
    store(log_sum + i, Floats{});
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    const Bf16* const out = queries.out + i * queries.out_row;
    const Bf16* const grad_out = gradients.grad_out + i * queries.out_row;
    inner[i] = sum_over<float>(queries.head_dim, [&](const auto& at) { return at(out) * at(grad_out); });
    log_sum[i] = queries.log_sum[i];
  }
  const auto softmax_scale = static_cast<float>(queries.softmax_scale);
  const auto scale = static_cast<float>(queries.softmax_scale * log2_e);
  const float lowest = -__builtin_huge_valf();
  for_key_blocks(queries, [&](const Visible& visible) {
    const Limits limits(visible, rows);
    const Pair* const keys = pairs(queries.head.copy(key_rows, visible.first, padded));
    const Pair* const values = pairs(queries.head.copy(value_rows, visible.first, padded));
    const Pair* const keys_in_pairs = pairs(queries.head.copy(key_pairs, visible.first, padded));
    for_panels(visible, rows, [&](const Panel& panel) {
      const auto [first, columns, begin, end, whole] = panel;
      panel_products(panel, keys, q_columns, padded, scores);
      panel_products(panel, values, grad_columns, padded, products);
      for (std::int64_t query = first; query < first + columns; query += width) {
        const Floats of_query = load(log_sum + query), correction = load(inner + query);
        const auto weight_of = [&](std::int64_t j) {
          return exp2_of(seen_scores(scores, limits, j, query, whole, scale, lowest) - of_query);
        };
        const auto gradient_of = [&](std::int64_t j, Floats weight) {
          // What is not seen may have overflowed: it is set, not multiplied.
          const Floats gradient = weight * (load(products + j * block + query) - correction) * softmax_scale;
          return weight == 0.0F ? Floats{} : gradient;
        };
        for (std::int64_t j = begin; j < end; j += 2) {
          const Floats even = weight_of(j), odd = weight_of(j + 1);
          const Floats grad_even = gradient_of(j, even), grad_odd = gradient_of(j + 1, odd);
          store_narrow(weights + j * block + query, even);
          store_narrow(weights + (j + 1) * block + query, odd);
          store_narrow(grad_scores + j * block + query, grad_even);
          store_narrow(grad_scores + (j + 1) * block + query, grad_odd);
          store_bits(pairs(grad_score_pairs) + j / 2 * block + query, paired(grad_even, grad_odd));
        }
      }
      pair_product(padded, columns, (end - begin) / 2, {keys_in_pairs + begin / 2 * padded, 1, padded},
                   {pairs(grad_score_pairs) + begin / 2 * block + first, block}, {grad_q + first, block}, {true});
      // Rows of keys outside the range may be another thread's.
      const std::int64_t from = begin < visible.lowest ? visible.lowest : begin;
      const std::int64_t to = end > visible.highest ? visible.highest : end;
      const std::int64_t key_row = (visible.first + from) * padded;
      const auto add = [&](Bf16* left, Bf16* right, float* sums) {
        pair_product(to - from, padded, columns / 2, {pairs(left) + (from * block + first) / 2, block / 2, 1},
                     {pairs(right) + first / 2 * padded, padded}, {sums + key_row, padded}, {true});
      };
      add(weights, grad_pairs, gradients.grad_values);
      add(grad_scores, q_pairs, gradients.grad_keys);
    });
  });
  for (std::int64_t i = 0; i < block; i += width) store(inner + i, broadcast(1.0F));
  write_rows(grad_q, inner, rows, queries.head_dim, gradients.grad_q, queries.out_row, pairs(q_pairs));
}

}  // namespace

#define EHRJEPA_PAIR_KERNELS_OF(isa) EHRJEPA_JOIN_NAMES(isa, _pair_kernels)
extern const PairKernels EHRJEPA_PAIR_KERNELS_OF(EHRJEPA_ISA);  // that of a test is in no header
const PairKernels EHRJEPA_PAIR_KERNELS_OF(EHRJEPA_ISA) = {2, 3, &pack, &forward, &backward};

}  // namespace ehrjepa::ops::attention_cpu
