// Compiled once for each instruction set (CMakeLists.txt, EHRJEPA_ISA).
#include "ops/attention/cpu_kernels.h"

#include "ops/attention/cpu_visible.h"
#include "ops/tile_product.h"

namespace ehrjepa::ops::attention_cpu {
namespace {

// The copies of a head: as right operands of products over the elements of a head (columns), and over its rows
// (tile_product.h).
constexpr int key_columns = 0;
constexpr int value_rows = 1;                   // forward
constexpr int key_rows = 1, value_columns = 2;  // backward

template <typename T, typename E>
void widen_rows(const T* from, std::int64_t from_row, std::int64_t rows, std::int64_t size, std::int64_t padded,
                E* to) {
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int64_t i = 0;
    for (; i + lanes<E> <= size; i += lanes<E>) store(to + r * padded + i, load_wide(from + r * from_row + i));
    for (; i < size; ++i) to[r * padded + i] = widened(from[r * from_row + i]);
    for (i = size; i < padded; ++i) to[r * padded + i] = 0;
  }
}

/// Rows of a block as the right operand of a product over them: panels of the head's elements. Rows and elements that
/// there are not are 0.
template <typename T, typename E>
void pack_rows(const T* from, std::int64_t from_row, std::int64_t rows, std::int64_t size, std::int64_t padded, E* to) {
  for (std::int64_t d = 0; d < padded; d += panel<E>) {
    E* const of_panel = to + d * block;
    const std::int64_t count = size - d < panel<E> ? size - d : panel<E>;
    for (std::int64_t r = 0; r < block; ++r) {
      E* const row = of_panel + r * panel<E>;
      std::int64_t i = 0;
      if (r < rows) {
        for (; i + lanes<E> <= count; i += lanes<E>) store(row + i, load_wide(from + r * from_row + d + i));
        for (; i < count; ++i) row[i] = widened(from[r * from_row + d + i]);
      }
      for (; i < panel<E>; ++i) row[i] = 0;
    }
  }
}

/// The same rows as the right operand of a product over the head's elements: panels of rows.
template <typename T, typename E>
void pack_columns(const T* from, std::int64_t from_row, std::int64_t rows, std::int64_t size, std::int64_t padded,
                  E* to) {
  for (std::int64_t first = 0; first < block; first += panel<E>) {
    E* const of_panel = to + first * padded;
    const std::int64_t count = rows - first < 0 ? 0 : rows - first < panel<E> ? rows - first : panel<E>;
    for (std::int64_t d = 0; d < padded; ++d) {
      E* const row = of_panel + d * panel<E>;
      std::int64_t i = 0;
      if (d < size) {
        for (; i < count; ++i) row[i] = widened(from[(first + i) * from_row + d]);
      }
      for (; i < panel<E>; ++i) row[i] = 0;
    }
  }
}

template <typename E>
Panels<E> panels_of_rows(const E* data) {
  return {data, block * panel<E>};
}
template <typename E>
Panels<E> panels_of_columns(const E* data, std::int64_t padded) {
  return {data, padded * panel<E>};
}

template <typename E>
void zero(E* values, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) values[i] = 0;
}

template <typename T, typename E>
void pack(const T* keys, const T* values, std::int64_t row_elements, std::int64_t first, std::int64_t rows,
          std::int64_t head_dim, std::int64_t padded, bool backward, const PackedHead<E>& head) {
  const T* const from_keys = keys + first * row_elements;
  const T* const from_values = values + first * row_elements;
  pack_columns(from_keys, row_elements, rows, head_dim, padded, head.copy(key_columns, first, padded));
  if (backward) {
    pack_rows(from_keys, row_elements, rows, head_dim, padded, head.copy(key_rows, first, padded));
    pack_columns(from_values, row_elements, rows, head_dim, padded, head.copy(value_columns, first, padded));
  } else {
    pack_rows(from_values, row_elements, rows, head_dim, padded, head.copy(value_rows, first, padded));
  }
}

/// Products of rows with the keys, or values, of a block, where one of the rows of a strip sees a column.
template <typename E>
void visible_scores(const Visible& visible, std::int64_t rows, std::int64_t padded, const E* of_rows, Panels<E> columns,
                    E* scores) {
  for_row_strips(visible, rows, [&](std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end) {
    const std::int64_t from = begin / panel<E> * panel<E>;
    product<E>(count, (end - from + panel<E> - 1) / panel<E> * panel<E>, padded, {of_rows + first * padded, padded, 1},
               columns.from(0, from), scores + first * block + from, block, false);
  });
}

/// One row of scores becomes its share of the softmax so far: p = 2^(score - maximum), zeros where nothing is seen.
/// @return what all that was summed before must be multiplied by.
template <typename E>
[[gnu::always_inline]] inline E softmax_row(E* scores, std::int64_t begin, std::int64_t end, E scale, E& maximum,
                                            E* sum) {
  constexpr std::int64_t width = lanes<E>;
  const E lowest = -__builtin_huge_val();
  for (std::int64_t j = 0; j < begin; ++j) scores[j] = lowest;
  for (std::int64_t j = end; j < block; ++j) scores[j] = lowest;
  if (begin >= end) {
    zero(scores, block);
    return 1;
  }
  Vector<E> largest = broadcast(lowest);
  for (std::int64_t j = 0; j < block; j += width) {
    const Vector<E> values = load(scores + j);
    largest = values > largest ? values : largest;
  }
  const E found = largest_of<E>(largest) * scale;
  const E before = maximum;
  if (found > maximum) maximum = found;
  Vector<E> total{};
  for (std::int64_t j = 0; j < block; j += width) {
    const Vector<E> power = exp2_of(load(scores + j) * scale - maximum);
    store(scores + j, power);
    total += power;
  }
  const E correction = before == maximum ? E{1} : exp2_of(broadcast(before - maximum))[0];
  store(sum, load(sum) * correction + total);
  return correction;
}

constexpr double log2_e = 1.4426950408889634;

template <typename T, typename E>
void forward(const QueryBlock<T, E, E>& queries) {
  const std::int64_t padded = queries.padded, rows = queries.rows;
  E* const q = queries.workspace;
  E* const out = q + block * padded;
  E* const scores = out + block * padded;
  E* const maximum = scores + block * block;
  E* const sum = maximum + block;  // a vector of partial sums for each row
  widen_rows(queries.q, queries.q_row, rows, queries.head_dim, padded, q);
  zero(out, rows * padded);
  zero(sum, rows * lanes<E>);
  for (std::int64_t i = 0; i < rows; ++i) maximum[i] = -__builtin_huge_val();
  const E scale = static_cast<E>(queries.softmax_scale * log2_e);
  for_key_blocks(queries, [&](const Visible& visible) {
    visible_scores(visible, rows, padded, q,
                   panels_of_columns<E>(queries.head.copy(key_columns, visible.first, padded), padded), scores);
    for (std::int64_t i = 0; i < rows; ++i) {
      const E correction =
          softmax_row(scores + i * block, visible.begin(i), visible.end(i), scale, maximum[i], sum + i * lanes<E>);
      if (correction == 1) continue;
      for (std::int64_t d = 0; d < padded; d += lanes<E>) {
        store(out + i * padded + d, load(out + i * padded + d) * correction);
      }
    }
    for_row_strips(visible, rows, [&](std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end) {
      product<E>(count, padded, end - begin, {scores + first * block + begin, block, 1},
                 panels_of_rows<E>(queries.head.copy(value_rows, visible.first, padded)).from(begin, 0),
                 out + first * padded, padded, true);
    });
  });
  for (std::int64_t i = 0; i < rows; ++i) {
    const E total = sum_of<E>(load(sum + i * lanes<E>));
    for (std::int64_t d = 0; d < queries.head_dim; ++d) {
      queries.out[i * queries.out_row + d] = narrowed<T, E>(out[i * padded + d] / total);
    }
    queries.log_sum[i] = maximum[i] + static_cast<E>(__builtin_log2(static_cast<double>(total)));
  }
}

template <typename T, typename E>
void backward(const QueryBlock<T, E, E>& queries, const BackwardBlock<T, E>& gradients) {
  const std::int64_t padded = queries.padded, rows = queries.rows;
  E* const q = queries.workspace;
  E* const grad_out = q + block * padded;
  E* const grad_q = grad_out + block * padded;
  E* const packed_q = grad_q + block * padded;
  E* const packed_grad_out = packed_q + block * padded;
  E* const weights = packed_grad_out + block * padded;
  E* const grad_scores = weights + block * block;
  E* const inner = grad_scores + block * block;
  widen_rows(queries.q, queries.q_row, rows, queries.head_dim, padded, q);
  widen_rows(gradients.grad_out, queries.out_row, rows, queries.head_dim, padded, grad_out);
  pack_rows(queries.q, queries.q_row, rows, queries.head_dim, padded, packed_q);
  pack_rows(gradients.grad_out, queries.out_row, rows, queries.head_dim, padded, packed_grad_out);
  zero(grad_q, rows * padded);
  for (std::int64_t i = 0; i < rows; ++i) {
    E product_sum = 0;  // of out and its gradient
    for (std::int64_t d = 0; d < queries.head_dim; ++d) {
      product_sum += widened(queries.out[i * queries.out_row + d]) * grad_out[i * padded + d];
    }
    inner[i] = product_sum;
  }
  const E softmax_scale = static_cast<E>(queries.softmax_scale);
  const E scale = static_cast<E>(queries.softmax_scale * log2_e);
  for_key_blocks(queries, [&](const Visible& visible) {
    visible_scores(visible, rows, padded, q,
                   panels_of_columns<E>(queries.head.copy(key_columns, visible.first, padded), padded), weights);
    visible_scores(visible, rows, padded, grad_out,
                   panels_of_columns<E>(queries.head.copy(value_columns, visible.first, padded), padded), grad_scores);
    for (std::int64_t i = 0; i < rows; ++i) {
      E* const p = weights + i * block;
      E* const ds = grad_scores + i * block;
      const std::int64_t begin = visible.begin(i), end = visible.end(i);
      for (std::int64_t j = 0; j < block; j += lanes<E>) {
        const Vector<E> weight = exp2_of(load(p + j) * scale - queries.log_sum[i]);
        store(p + j, weight);
        store(ds + j, weight * (load(ds + j) - inner[i]) * softmax_scale);
      }
      // What is not seen may have overflowed: it is set, not multiplied.
      zero(p, begin < end ? begin : block);
      zero(ds, begin < end ? begin : block);
      zero(p + end, block - end);
      zero(ds + end, block - end);
    }
    // Rows of keys outside the range may be another thread's.
    for_column_strips(visible, rows, [&](std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end) {
      const std::int64_t scores = begin * block + first, key_row = (visible.first + first) * padded;
      product<E>(count, padded, end - begin, {weights + scores, 1, block},
                 panels_of_rows<E>(packed_grad_out).from(begin, 0), gradients.grad_values + key_row, padded, true);
      product<E>(count, padded, end - begin, {grad_scores + scores, 1, block},
                 panels_of_rows<E>(packed_q).from(begin, 0), gradients.grad_keys + key_row, padded, true);
    });
    for_row_strips(visible, rows, [&](std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end) {
      product<E>(count, padded, end - begin, {grad_scores + first * block + begin, block, 1},
                 panels_of_rows<E>(queries.head.copy(key_rows, visible.first, padded)).from(begin, 0),
                 grad_q + first * padded, padded, true);
    });
  });
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t d = 0; d < queries.head_dim; ++d) {
      gradients.grad_q[i * queries.out_row + d] = narrowed<T, E>(grad_q[i * padded + d]);
    }
  }
}

}  // namespace

extern const KernelSet<Kernels> EHRJEPA_KERNELS;  // that of a test is in no header
const KernelSet<Kernels> EHRJEPA_KERNELS = {
    {2, 3, &pack<float, float>, &forward<float, float>, &backward<float, float>},
    {2, 3, &pack<Bf16, float>, &forward<Bf16, float>, &backward<Bf16, float>},
    {2, 3, &pack<double, double>, &forward<double, double>, &backward<double, double>}};

}  // namespace ehrjepa::ops::attention_cpu
