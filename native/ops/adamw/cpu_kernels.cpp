// Compiled once for each instruction set (CMakeLists.txt, EHRJEPA_ISA), without contraction of products and sums, so
// that every set gives the same bits.
#include "ops/adamw/cpu_kernels.h"

#include "ops/simd.h"

namespace ehrjepa::ops::adamw_cpu {
namespace {

using Floats = Vector<float>;
using Words = Bits;
constexpr int width = lanes<float>;

[[gnu::always_inline]] inline Floats root(Floats values) {
#if defined(EHRJEPA_OWN_WIDTH) && defined(__AVX512F__)
  return _mm512_sqrt_ps(values);
#elif defined(EHRJEPA_OWN_WIDTH) && defined(__AVX2__)
  return _mm256_sqrt_ps(values);
#elif defined(EHRJEPA_OWN_WIDTH)
  return _mm_sqrt_ps(values);
#else
  for (int i = 0; i < width; ++i) values[i] = square_root(values[i]);
  return values;
#endif
}

/// Both halves of 32 x 32 bit products.
[[gnu::always_inline]] inline void multiply(Words a, std::uint32_t factor, Words& high, Words& low) {
#if defined(EHRJEPA_OWN_WIDTH) && defined(__AVX512F__)
  const __m512i b = _mm512_set1_epi32(static_cast<int>(factor)), words = reinterpret_cast<__m512i>(a);
  const __m512i even = _mm512_mul_epu32(words, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(words, 32), b);
  low = reinterpret_cast<Words>(_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32)));
  high = reinterpret_cast<Words>(_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd));
#elif defined(EHRJEPA_OWN_WIDTH) && defined(__AVX2__)
  const __m256i b = _mm256_set1_epi32(static_cast<int>(factor)), words = reinterpret_cast<__m256i>(a);
  const __m256i even = _mm256_mul_epu32(words, b), odd = _mm256_mul_epu32(_mm256_srli_epi64(words, 32), b);
  low = reinterpret_cast<Words>(_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa));
  high = reinterpret_cast<Words>(_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa));
#else
  for (int i = 0; i < width; ++i) {
    const std::uint64_t product = std::uint64_t{factor} * a[i];
    high[i] = static_cast<std::uint32_t>(product >> 32);
    low[i] = static_cast<std::uint32_t>(product);
  }
#endif
}

/// Random words of blocks [block, block + width): Philox4x32-10 of core/random, whose counter is (block, step,
/// parameter, purpose) and whose key is the seed.
[[gnu::always_inline]] inline void draw(std::uint32_t block, const RoundingKey& key, Words (&words)[4]) {
  Words c0, c1 = Words{} + key.step, c2 = Words{} + key.parameter, c3 = Words{} + key.purpose;
  for (int i = 0; i < width; ++i) c0[i] = block + static_cast<std::uint32_t>(i);
  std::uint32_t key0 = key.seed_low, key1 = key.seed_high;
  for (int round = 0; round < 10; ++round) {
    Words high0, low0, high1, low1;
    multiply(c0, 0xd2511f53, high0, low0);
    multiply(c2, 0xcd9e8d57, high1, low1);
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 += 0x9e3779b9;
    key1 += 0xbb67ae85;
  }
  words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

[[gnu::always_inline]] inline void store_upper(Bf16* to, Words bits) {
  *reinterpret_cast<HalfBits*>(to) = __builtin_convertvector(bits >> 16, HalfBits);
}

/// To one of the two neighbours in bfloat16, the nearer the likelier: the mean over `random` in [0, 2^16) is the value
/// itself. NaN stays NaN. @return the upper halves hold the result.
[[gnu::always_inline]] inline Words rounded(Floats values, Words random) {
  const Words bits = reinterpret_cast<Words>(values);
  return values == values ? bits + random : bits | 0x400000U;
}

/// AdamW. @return the new parameter.
[[gnu::always_inline]] inline Floats update(Floats parameter, Floats gradient, const Factors& f, Floats& exp_avg,
                                            Floats& exp_avg_sq) {
  gradient = gradient * f.gradient_scale;
  exp_avg = exp_avg + (gradient - exp_avg) * f.beta1_rest;
  exp_avg_sq = exp_avg_sq * f.beta2 + gradient * gradient * f.beta2_rest;
  const Floats scale = root(exp_avg_sq) * f.root_scale + f.epsilon;
  return parameter * f.decay - exp_avg * f.step_size / scale;
}

/// @return the new target.
[[gnu::always_inline]] inline Floats follow(Floats parameter, Floats target, const Factors& f) {
  return (f.from_parameter ? parameter : target) + (parameter - target) * f.target_share;
}

template <bool with_gradient, bool with_target>
[[gnu::always_inline]] inline void update_lanes(const Arrays<float>& a, std::int64_t i, const Factors& f) {
  Floats parameter = load_wide(a.parameter + i);
  if constexpr (with_gradient) {
    Floats exp_avg = load_wide(a.exp_avg + i), exp_avg_sq = load_wide(a.exp_avg_sq + i);
    parameter = update(parameter, load_wide(a.gradient + i), f, exp_avg, exp_avg_sq);
    store(a.parameter + i, parameter);
    store(a.exp_avg + i, exp_avg);
    store(a.exp_avg_sq + i, exp_avg_sq);
  }
  if constexpr (with_target) store(a.target + i, follow(parameter, load_wide(a.target + i), f));
}

/// @param low, high  the two random words of each element.
template <bool with_gradient, bool with_target>
[[gnu::always_inline]] inline void update_lanes(const Arrays<Bf16>& a, std::int64_t i, const Factors& f, Words low,
                                                Words high) {
  Floats parameter = load_wide(a.parameter + i);
  if constexpr (with_gradient) {
    Floats exp_avg = load_wide(a.exp_avg + i), exp_avg_sq = load_wide(a.exp_avg_sq + i);
    const Words kept = rounded(update(parameter, load_wide(a.gradient + i), f, exp_avg, exp_avg_sq), low & 0xffffU);
    store_upper(a.parameter + i, kept);
    store_upper(a.exp_avg + i, rounded(exp_avg, low >> 16));
    store_upper(a.exp_avg_sq + i, rounded(exp_avg_sq, high & 0xffffU));
    // The target follows the weight that the encoder has, not the one before rounding.
    parameter = reinterpret_cast<Floats>(kept & 0xffff0000U);
  }
  if constexpr (with_target) {
    store_upper(a.target + i, rounded(follow(parameter, load_wide(a.target + i), f), high >> 16));
  }
}

/// A whole tile from element `first` on. Block b of its random words serves its elements b and 16 + b.
template <bool with_gradient, bool with_target>
[[gnu::always_inline]] inline void update_tile(const Arrays<float>& a, std::int64_t first, std::int64_t,
                                               const Factors& f, const RoundingKey&) {
  for (int i = 0; i < tile; i += width) update_lanes<with_gradient, with_target>(a, first + i, f);
}
template <bool with_gradient, bool with_target>
[[gnu::always_inline]] inline void update_tile(const Arrays<Bf16>& a, std::int64_t first, std::int64_t number,
                                               const Factors& f, const RoundingKey& key) {
  constexpr int half = tile / 2;
  for (int i = 0; i < half; i += width) {
    Words words[4];
    draw(static_cast<std::uint32_t>(number * half + i), key, words);
    update_lanes<with_gradient, with_target>(a, first + i, f, words[0], words[1]);
    update_lanes<with_gradient, with_target>(a, first + half + i, f, words[2], words[3]);
  }
}

/// The last elements, which fill no tile, in a tile of their own.
template <bool with_gradient, bool with_target, typename T>
void update_rest(const Arrays<T>& a, std::int64_t first, std::int64_t count, const Factors& f, const RoundingKey& key) {
  T values[5][tile] = {};
  const auto bytes = static_cast<std::uint64_t>(count) * sizeof(T);
  T* const arrays[] = {a.parameter, a.exp_avg, a.exp_avg_sq, a.target};
  const auto used = [](int k) { return k == 0 || (k < 3 ? with_gradient : with_target); };
  for (int k = 0; k < 4; ++k) {
    if (used(k)) __builtin_memcpy(values[k], arrays[k] + first, bytes);
  }
  if constexpr (with_gradient) __builtin_memcpy(values[4], a.gradient + first, bytes);
  const Arrays<T> own{values[0], values[1], values[2], values[3], values[4]};
  update_tile<with_gradient, with_target>(own, 0, first / tile, f, key);
  for (int k = 0; k < 4; ++k) {
    if (used(k)) __builtin_memcpy(arrays[k] + first, values[k], bytes);
  }
}

template <bool with_gradient, bool with_target, typename T>
void update_range(const Arrays<T>& arrays, std::int64_t begin, std::int64_t end, const Factors& factors,
                  const RoundingKey& key) {
  // Copies: what is stored could otherwise be one of them, for all that the compiler knows.
  const Arrays<T> a = arrays;
  const Factors f = factors;
  const RoundingKey k = key;
  std::int64_t first = begin;
  for (; first + tile <= end; first += tile) {
    update_tile<with_gradient, with_target>(a, first, first / tile, f, k);
  }
  if (first < end) update_rest<with_gradient, with_target>(a, first, end - first, f, k);
}

template <typename T>
void update_all(const Arrays<T>& a, std::int64_t begin, std::int64_t end, const Factors& f, const RoundingKey& key) {
  if (a.gradient == nullptr) return update_range<false, true>(a, begin, end, f, key);
  if (a.target == nullptr) return update_range<true, false>(a, begin, end, f, key);
  update_range<true, true>(a, begin, end, f, key);
}

/// In sixteen interleaved sums, whatever the width of a vector.
template <typename T>
double sum_of_squares(const T* values, std::int64_t begin, std::int64_t end) {
  constexpr int sums_count = 16;
  double sums[sums_count] = {};
  std::int64_t i = begin;
  for (; i + sums_count <= end; i += sums_count) {
    for (int lane = 0; lane < sums_count; ++lane) {
      const double value = widened(values[i + lane]);
      sums[lane] += value * value;
    }
  }
  for (int lane = 0; i < end; ++i, ++lane) {
    const double value = widened(values[i]);
    sums[lane] += value * value;
  }
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

}  // namespace

extern const Kernels EHRJEPA_KERNELS;  // that of a test is in no header
const Kernels EHRJEPA_KERNELS = {&update_all<float>, &update_all<Bf16>, &sum_of_squares<float>, &sum_of_squares<Bf16>};

}  // namespace ehrjepa::ops::adamw_cpu
