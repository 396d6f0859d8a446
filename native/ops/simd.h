// Vectors of the instruction set that the including file is compiled for: 16, 32 or 64 bytes. One source gives the
// kernels of every set, so that what runs on one machine has been tested on another.
//
// Everything here has internal linkage, and no header of the standard library with inline functions is included: a
// function compiled for one instruction set must not serve the rest of the program.
#pragma once
#include <cstdint>

#include "ops/bf16.h"

// The intrinsics are for vectors of the processor's own width: a test's wider ones take what the compiler makes of
// them.
#if defined(__SSE2__) && !defined(EHRJEPA_VECTOR_BYTES)
#define EHRJEPA_OWN_WIDTH
#include <immintrin.h>
#endif

// The name of a file's table of kernels: avx2_kernels where EHRJEPA_ISA is avx2.
#define EHRJEPA_JOIN_NAMES(a, b) a##b
#define EHRJEPA_KERNELS_OF(isa) EHRJEPA_JOIN_NAMES(isa, _kernels)
#define EHRJEPA_KERNELS EHRJEPA_KERNELS_OF(EHRJEPA_ISA)

namespace ehrjepa::ops {
namespace {

#if defined(EHRJEPA_VECTOR_BYTES)
constexpr int vector_bytes = EHRJEPA_VECTOR_BYTES;  // a test's: the logic of wide vectors where they do not run
#elif defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

template <typename E>
constexpr int lanes = vector_bytes / static_cast<int>(sizeof(E));

template <typename E>
struct VectorOf {
  typedef E type __attribute__((vector_size(vector_bytes)));
  /// At an address of any alignment.
  typedef E unaligned __attribute__((vector_size(vector_bytes), aligned(sizeof(E)), may_alias));
};
template <typename E>
using Vector = typename VectorOf<E>::type;
using IntVector = Vector<std::int32_t>;

template <typename E>
[[gnu::always_inline]] inline Vector<E> load(const E* from) {
  return *reinterpret_cast<const typename VectorOf<E>::unaligned*>(from);
}
template <typename E>
[[gnu::always_inline]] inline void store(E* to, Vector<E> value) {
  *reinterpret_cast<typename VectorOf<E>::unaligned*>(to) = value;
}
template <typename E>
[[gnu::always_inline]] inline Vector<E> broadcast(E value) {
  return value - Vector<E>{};  // not +, which would change a negative zero and so cost an addition
}

/// Minimax polynomial of 2^x on [-1/2, 1/2].
[[gnu::always_inline]] inline Vector<float> exp2_near_zero(Vector<float> x) {
  Vector<float> power = broadcast(0.00015345812163621765F);
  power = power * x + 0.0013399931209550045F;
  power = power * x + 0.009618488956505184F;
  power = power * x + 0.05550328776997313F;
  power = power * x + 0.24022646890639737F;
  power = power * x + 0.6931472057372531F;
  return power * x + 1.0F;
}

/// 2^x for x in [-inf, 126]; relative error below 1e-7 in float32 from 2^-126 on.
[[gnu::always_inline]] inline Vector<float> exp2_of(Vector<float> x) {
#if defined(EHRJEPA_OWN_WIDTH) && defined(__AVX512DQ__)
  // What is left of the nearest integer: 0 of an infinite number.
  const Vector<float> rest = _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm512_scalef_ps(exp2_near_zero(rest), x - rest);
#else
  // Adding 1.5 * 2^23 rounds to an integer, whose bits are then the lowest of the sum.
  const Vector<float> shifted = x + 12582912.0F;
  const auto power = reinterpret_cast<IntVector>(exp2_near_zero(x - (shifted - 12582912.0F)));
  const IntVector bits = power + (reinterpret_cast<IntVector>(shifted) << 23);
  return x < -126.0F ? Vector<float>{} : reinterpret_cast<Vector<float>>(bits);
#endif
}
[[gnu::always_inline]] inline Vector<double> exp2_of(Vector<double> x) {
  for (int i = 0; i < lanes<double>; ++i) x[i] = __builtin_exp2(x[i]);
  return x;
}

/// e^x for x in [-inf, 87]; relative error below 1e-7 in float32 wherever x lies, which 2^(x log2 e) has not; 0 below
/// -87.
[[gnu::always_inline]] inline Vector<float> exp_of(Vector<float> x) {
  const Vector<float> shifted = x * 1.44269504F + 12582912.0F;
  const Vector<float> whole = shifted - 12582912.0F;
  const Vector<float> rest = (x - whole * 0.693359375F) + whole * 2.12194440e-4F;  // ln 2 in two parts
  // Cephes' polynomial of e^rest on [-ln 2 / 2, ln 2 / 2].
  Vector<float> power = broadcast(1.9875691500e-4F);
  power = power * rest + 1.3981999507e-3F;
  power = power * rest + 8.3334519073e-3F;
  power = power * rest + 4.1665795894e-2F;
  power = power * rest + 1.6666665459e-1F;
  power = power * rest + 5.0000001201e-1F;
  power = power * (rest * rest) + rest + 1.0F;
  const IntVector bits = reinterpret_cast<IntVector>(power) + (reinterpret_cast<IntVector>(shifted) << 23);
  return x < -87.0F ? Vector<float>{} : reinterpret_cast<Vector<float>>(bits);
}
[[gnu::always_inline]] inline Vector<double> exp_of(Vector<double> x) {
  for (int i = 0; i < lanes<double>; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

/// The larger, or smaller, of each lane; the second where one of them is no number. One instruction, which GCC finds
/// for vectors only under -ffinite-math-only.
[[gnu::always_inline]] inline Vector<float> larger_of(Vector<float> a, Vector<float> b) {
#if defined(EHRJEPA_OWN_WIDTH) && defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}
[[gnu::always_inline]] inline Vector<double> larger_of(Vector<double> a, Vector<double> b) { return a > b ? a : b; }
[[gnu::always_inline]] inline Vector<float> smaller_of(Vector<float> a, Vector<float> b) {
#if defined(EHRJEPA_OWN_WIDTH) && defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}
[[gnu::always_inline]] inline Vector<double> smaller_of(Vector<double> a, Vector<double> b) { return a < b ? a : b; }

/// Lane i takes the value of lane i ^ distance.
template <typename E>
[[gnu::always_inline]] inline Vector<E> swapped(Vector<E> values, int distance) {
  Vector<E> result;
  for (int i = 0; i < lanes<E>; ++i) result[i] = values[i ^ distance];
  return result;
}
template <typename E>
[[gnu::always_inline]] inline E sum_of(Vector<E> values) {
#pragma GCC unroll 4
  for (int distance = lanes<E> / 2; distance > 0; distance /= 2) values += swapped<E>(values, distance);
  return values[0];
}
template <typename E>
[[gnu::always_inline]] inline E largest_of(Vector<E> values) {
#pragma GCC unroll 4
  for (int distance = lanes<E> / 2; distance > 0; distance /= 2) {
    const Vector<E> other = swapped<E>(values, distance);
    values = values > other ? values : other;
  }
  return values[0];
}

template <typename E>
[[gnu::always_inline]] inline E square_root(E value) {
  if constexpr (sizeof(E) == sizeof(float)) {
    return __builtin_sqrtf(value);
  } else {
    return __builtin_sqrt(value);
  }
}

/// A vector of the type that is computed with, from or to values of the type that is stored.
[[gnu::always_inline]] inline Vector<float> load_wide(const float* from) { return load(from); }
[[gnu::always_inline]] inline Vector<double> load_wide(const double* from) { return load(from); }
[[gnu::always_inline]] inline void store_narrow(float* to, Vector<float> value) { store(to, value); }
[[gnu::always_inline]] inline void store_narrow(double* to, Vector<double> value) { store(to, value); }

typedef std::uint32_t Bits __attribute__((vector_size(vector_bytes)));
typedef std::uint32_t UnalignedBits __attribute__((vector_size(vector_bytes), aligned(4), may_alias));
[[gnu::always_inline]] inline Bits load_bits(const std::uint32_t* from) {
  return *reinterpret_cast<const UnalignedBits*>(from);
}
[[gnu::always_inline]] inline void store_bits(std::uint32_t* to, Bits value) {
  *reinterpret_cast<UnalignedBits*>(to) = value;
}
typedef std::uint16_t HalfBits __attribute__((vector_size(vector_bytes / 2), aligned(2), may_alias));
/// One instruction, which GCC 12 does not find: it widens halves of the vector and joins them.
[[gnu::always_inline]] inline Bits load_halves(const Bf16* from) {
#if defined(EHRJEPA_OWN_WIDTH) && defined(__AVX512F__)
  return reinterpret_cast<Bits>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
#elif defined(EHRJEPA_OWN_WIDTH) && defined(__AVX2__)
  return reinterpret_cast<Bits>(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#else
  return __builtin_convertvector(*reinterpret_cast<const HalfBits*>(from), Bits);
#endif
}
[[gnu::always_inline]] inline Vector<float> load_wide(const Bf16* from) {
  return reinterpret_cast<Vector<float>>(load_halves(from) << 16);
}
/// The upper 16 bits are those of the bfloat16. Round to nearest even; NaN stays NaN.
[[gnu::always_inline]] inline Bits bf16_bits(Vector<float> value) {
  const Bits bits = reinterpret_cast<Bits>(value);
  const Bits rounded = bits + (((bits >> 16) & 1U) + 0x7fffU);
  return value == value ? rounded : bits | 0x400000U;
}
/// Round to nearest even; NaN stays NaN. The instruction makes 0 of what is below 2^-126.
[[gnu::always_inline]] inline void store_narrow(Bf16* to, Vector<float> value) {
#if defined(EHRJEPA_OWN_WIDTH) && defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
#elif defined(EHRJEPA_OWN_WIDTH) && defined(__AVX512F__)
  const auto halves = reinterpret_cast<__m512i>(bf16_bits(value) >> 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(halves));
#else
  *reinterpret_cast<HalfBits*>(to) = __builtin_convertvector(bf16_bits(value) >> 16, HalfBits);
#endif
}

/// What a store as T and a load would give.
template <typename T>
[[gnu::always_inline]] inline auto rounded_to(Vector<float> value) {
  if constexpr (sizeof(T) == sizeof(Bf16)) {
#if defined(EHRJEPA_OWN_WIDTH) && defined(__AVX512BF16__)
    return reinterpret_cast<Vector<float>>(_mm512_cvtpbh_ps(_mm512_cvtneps_pbh(value)));
#else
    return reinterpret_cast<Vector<float>>(bf16_bits(value) & 0xffff0000U);
#endif
  } else {
    return value;
  }
}
template <typename T>
[[gnu::always_inline]] inline auto rounded_to(Vector<double> value) {
  return value;
}

[[gnu::always_inline]] inline float widened(Bf16 value) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}
[[gnu::always_inline]] inline float widened(float value) { return value; }
[[gnu::always_inline]] inline double widened(double value) { return value; }

/// Round to nearest even; NaN stays NaN.
template <typename T, typename E>
[[gnu::always_inline]] inline T narrowed(E value);
template <>
[[gnu::always_inline]] inline float narrowed<float, float>(float value) {
  return value;
}
template <>
[[gnu::always_inline]] inline double narrowed<double, double>(double value) {
  return value;
}
template <>
[[gnu::always_inline]] inline Bf16 narrowed<Bf16, float>(float value) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t rounded = bits + 0x7fffU + ((bits >> 16) & 1U);
  return {static_cast<std::uint16_t>((value == value ? rounded : bits | 0x400000U) >> 16)};
}

}  // namespace
}  // namespace ehrjepa::ops
