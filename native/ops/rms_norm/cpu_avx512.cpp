// Compiled for AVX-512 whatever the rest targets; reached only where `runs(Isa::kAvx512)`. Includes nothing that could
// leave an inline function compiled for AVX-512 in the program.
#include "ops/rms_norm/cpu_rows.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ehrjepa::ops::rms_norm_cpu {
namespace {

__mmask16 tail_mask(std::int64_t left) {
  return left >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << left) - 1u);
}

__m512 load(const float* p, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, p); }
__m512 load(const Bf16* p, __mmask16 mask) {
  const __m256i bits = _mm256_maskz_loadu_epi16(mask, p);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/// Round to nearest even; NaN stays NaN. Integer arithmetic, so that plain AVX-512 machines give the same bits as those
/// with the bfloat16 extension.
__m256i to_bf16(__m512 value) {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16));
}

void store(float* p, __mmask16 mask, __m512 value) { _mm512_mask_storeu_ps(p, mask, value); }
void store(Bf16* p, __mmask16 mask, __m512 value) { _mm256_mask_storeu_epi16(p, mask, to_bf16(value)); }

__m512 round_to(const float*, __m512 value) { return value; }
__m512 round_to(const Bf16*, __m512 value) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(to_bf16(value)), 16));
}

template <typename T>
float forward_row(const T* x, const T* weight, T* y, std::int64_t size, float eps) {
  __m512 squares = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < size; i += 16) {
    const __m512 values = load(x + i, tail_mask(size - i));
    squares = _mm512_fmadd_ps(values, values, squares);
  }
  const float mean = _mm512_reduce_add_ps(squares) / static_cast<float>(size);
  const float rstd = 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps)));
  const __m512 scale = _mm512_set1_ps(rstd);
  for (std::int64_t i = 0; i < size; i += 16) {
    const __mmask16 mask = tail_mask(size - i);
    const __m512 normalised = round_to(x, _mm512_mul_ps(load(x + i, mask), scale));
    store(y + i, mask, _mm512_mul_ps(normalised, load(weight + i, mask)));
  }
  return rstd;
}

template <typename T>
void backward_row(const T* grad_out, const T* x, const T* weight, float rstd, T* grad_x, float* grad_weight,
                  std::int64_t size) {
  const __m512 scale = _mm512_set1_ps(rstd);
  __m512 products = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < size; i += 16) {
    const __mmask16 mask = tail_mask(size - i);
    const __m512 normalised = _mm512_mul_ps(load(x + i, mask), scale);
    products = _mm512_fmadd_ps(_mm512_mul_ps(load(grad_out + i, mask), load(weight + i, mask)), normalised, products);
  }
  const __m512 projection = _mm512_set1_ps(_mm512_reduce_add_ps(products) / static_cast<float>(size));
  for (std::int64_t i = 0; i < size; i += 16) {
    const __mmask16 mask = tail_mask(size - i);
    const __m512 normalised = _mm512_mul_ps(load(x + i, mask), scale);
    const __m512 gradient = load(grad_out + i, mask);
    store(grad_weight + i, mask, _mm512_fmadd_ps(gradient, round_to(x, normalised), load(grad_weight + i, mask)));
    const __m512 direct = _mm512_mul_ps(gradient, load(weight + i, mask));
    store(grad_x + i, mask, _mm512_mul_ps(scale, _mm512_fnmadd_ps(normalised, projection, direct)));
  }
}

}  // namespace

float forward_row_avx512(const float* x, const float* weight, float* y, std::int64_t size, float eps) {
  return forward_row(x, weight, y, size, eps);
}
float forward_row_avx512(const Bf16* x, const Bf16* weight, Bf16* y, std::int64_t size, float eps) {
  return forward_row(x, weight, y, size, eps);
}
void backward_row_avx512(const float* grad_out, const float* x, const float* weight, float rstd, float* grad_x,
                         float* grad_weight, std::int64_t size) {
  backward_row(grad_out, x, weight, rstd, grad_x, grad_weight, size);
}
void backward_row_avx512(const Bf16* grad_out, const Bf16* x, const Bf16* weight, float rstd, Bf16* grad_x,
                         float* grad_weight, std::int64_t size) {
  backward_row(grad_out, x, weight, rstd, grad_x, grad_weight, size);
}

}  // namespace ehrjepa::ops::rms_norm_cpu
#endif
