// Loops over runs of elements, whole vectors and what is left. Included by files for one instruction set (simd.h).
#pragma once
#include "ops/simd.h"

namespace ehrjepa::ops {
namespace {

/// Lanes [0, count) of the vectors at one place of several runs; the others read as 0 and are not written.
struct WholeVector {
  std::int64_t place;

  template <typename T>
  [[gnu::always_inline]] auto operator()(const T* from) const {
    return load_wide(from + place);
  }
  template <typename T, typename V>
  [[gnu::always_inline]] void operator()(T* to, V value) const {
    store_narrow(to + place, value);
  }
};
template <typename E>
struct PartOfVector {
  std::int64_t place, count;

  template <typename T>
  [[gnu::always_inline]] Vector<E> operator()(const T* from) const {
    Vector<E> value{};
    for (std::int64_t lane = 0; lane < count; ++lane) value[lane] = widened(from[place + lane]);
    return value;
  }
  template <typename T>
  [[gnu::always_inline]] void operator()(T* to, Vector<E> value) const {
    for (std::int64_t lane = 0; lane < count; ++lane) to[place + lane] = narrowed<T, E>(value[lane]);
  }
};

/// Calls `run(at)` for whole vectors, then for what is left: `at(from)` reads, `at(to, value)` writes.
template <typename E, typename Run>
[[gnu::always_inline]] inline void for_vectors(std::int64_t count, const Run& run) {
  std::int64_t i = 0;
  for (; i + lanes<E> <= count; i += lanes<E>) run(WholeVector{i});
  if (i < count) run(PartOfVector<E>{i, count - i});
}

/// Sum over a run of the lanes of `term(at)`. Two vectors of partial sums: the second does not wait for the first.
template <typename E, typename Term>
[[gnu::always_inline]] inline E sum_over(std::int64_t count, const Term& term) {
  Vector<E> even{}, odd{};
  std::int64_t i = 0;
  for (; i + 2 * lanes<E> <= count; i += 2 * lanes<E>) {
    even += term(WholeVector{i});
    odd += term(WholeVector{i + lanes<E>});
  }
  if (i + lanes<E> <= count) {
    even += term(WholeVector{i});
    i += lanes<E>;
  }
  if (i < count) odd += term(PartOfVector<E>{i, count - i});
  return sum_of<E>(even + odd);
}

}  // namespace
}  // namespace ehrjepa::ops
