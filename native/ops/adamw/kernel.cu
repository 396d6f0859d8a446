// One pass over the arrays of a parameter: 5 reads and 4 writes of each element with a target encoder, which is all the
// time there is. Every product and sum is rounded by itself, as on the CPU, and the random words are those of the CPU:
// block b of a tile of 32 elements serves its elements b and 16 + b, so a thread takes neighbours of both halves.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "ops/adamw/kernel.h"
#include "ops/cuda/element.h"
#include "ops/cuda/launch.h"

namespace ehrjepa::kernels {
namespace {

using ops::adamw_cpu::Factors;
using ops::adamw_cpu::RoundingKey;

constexpr int threads = 256;
constexpr int half = ops::adamw_cpu::tile / 2;

struct Words {
  std::uint32_t word[4];
};

/// Philox4x32-10 of core/random.
__device__ Words draw(std::uint32_t block, const RoundingKey& key) {
  std::uint32_t c0 = block, c1 = key.step, c2 = key.parameter, c3 = key.purpose;
  std::uint32_t key0 = key.seed_low, key1 = key.seed_high;
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint32_t high0 = __umulhi(0xd2511f53u, c0), low0 = 0xd2511f53u * c0;
    const std::uint32_t high1 = __umulhi(0xcd9e8d57u, c2), low1 = 0xcd9e8d57u * c2;
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
  return {{c0, c1, c2, c3}};
}

/// The random halves that round an element's parameter, first and second moment, and target.
struct Halves {
  std::uint32_t parameter, exp_avg, exp_avg_sq, target;
  __device__ Halves(std::uint32_t low, std::uint32_t high)
      : parameter(low & 0xffffu), exp_avg(low >> 16), exp_avg_sq(high & 0xffffu), target(high >> 16) {}
};

__device__ float kept(float value, std::uint32_t, float*) { return value; }
/// To one of the two neighbours in bfloat16, the nearer the likelier; NaN stays NaN.
__device__ float kept(float value, std::uint32_t random, __nv_bfloat16*) {
  const std::uint32_t bits = __float_as_uint(value);
  return __uint_as_float((value == value ? bits + random : bits | 0x400000u) & 0xffff0000u);
}

template <typename T>
struct Arrays {
  T *parameter, *exp_avg, *exp_avg_sq, *target;
  const T* gradient;
};

/// `width` neighbours of one array as float32; `inside` of them exist.
template <int width>
struct Some {
  float values[width];

  template <typename T>
  __device__ void load_from(const T* from, int inside) {
    if (inside >= width) {
      const auto vector = load<Vector<T, width>>(from);
#pragma unroll
      for (int i = 0; i < width; ++i) values[i] = widen(vector.values[i]);
    } else {
#pragma unroll
      for (int i = 0; i < width; ++i) values[i] = i < inside ? widen(from[i]) : 0.0f;
    }
  }
  /// The values are of T already: nothing is rounded here.
  template <typename T>
  __device__ void store_to(T* to, int inside) const {
    if (inside >= width) {
      Vector<T, width> vector;
#pragma unroll
      for (int i = 0; i < width; ++i) vector.values[i] = narrow<T>(values[i]);
      store(to, vector);
    } else {
#pragma unroll
      for (int i = 0; i < width; ++i) {
        if (i < inside) to[i] = narrow<T>(values[i]);
      }
    }
  }
};

/// Updates `width` neighbours from element `at` on. @param low, high  the two random words of each.
template <typename T, int width>
__device__ void update(const Arrays<T>& a, std::int64_t at, int inside, const Factors& f, float scale,
                       const std::uint32_t (&low)[width], const std::uint32_t (&high)[width]) {
  T* const type = nullptr;
  Some<width> parameter;
  parameter.load_from(a.parameter + at, inside);
  if (a.gradient != nullptr) {
    Some<width> gradient, exp_avg, exp_avg_sq;
    gradient.load_from(a.gradient + at, inside);
    exp_avg.load_from(a.exp_avg + at, inside);
    exp_avg_sq.load_from(a.exp_avg_sq + at, inside);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const Halves random(low[i], high[i]);
      const float g = __fmul_rn(gradient.values[i], scale);
      const float m = __fadd_rn(exp_avg.values[i], __fmul_rn(__fsub_rn(g, exp_avg.values[i]), f.beta1_rest));
      const float v = __fadd_rn(__fmul_rn(exp_avg_sq.values[i], f.beta2), __fmul_rn(__fmul_rn(g, g), f.beta2_rest));
      const float root = __fadd_rn(__fmul_rn(__fsqrt_rn(v), f.root_scale), f.epsilon);
      const float p = __fsub_rn(__fmul_rn(parameter.values[i], f.decay), __fdiv_rn(__fmul_rn(m, f.step_size), root));
      parameter.values[i] = kept(p, random.parameter, type);
      exp_avg.values[i] = kept(m, random.exp_avg, type);
      exp_avg_sq.values[i] = kept(v, random.exp_avg_sq, type);
    }
    parameter.store_to(a.parameter + at, inside);
    exp_avg.store_to(a.exp_avg + at, inside);
    exp_avg_sq.store_to(a.exp_avg_sq + at, inside);
  }
  if (a.target == nullptr) return;
  Some<width> target;
  target.load_from(a.target + at, inside);
#pragma unroll
  for (int i = 0; i < width; ++i) {
    // It follows the weight that the encoder has, not the one before rounding.
    const float p = parameter.values[i], t = target.values[i];
    const float moved = __fadd_rn(f.from_parameter ? p : t, __fmul_rn(__fsub_rn(p, t), f.target_share));
    target.values[i] = kept(moved, Halves(low[i], high[i]).target, type);
  }
  target.store_to(a.target + at, inside);
}

/// A thread takes `width` neighbours of the first half of a tile, and those of the second.
template <typename T, int width>
__global__ void __launch_bounds__(threads) adamw_kernel(Arrays<T> arrays, Factors f, RoundingKey key,
                                                        const double* __restrict__ gradient_scale, std::int64_t count) {
  float scale = f.gradient_scale;
  if (gradient_scale != nullptr) {
    const double given = *gradient_scale;
    if (!(fabs(given) <= 1.7976931348623157e308)) return;
    scale = static_cast<float>(given);
  }
  constexpr int threads_of_tile = half / width;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  const std::int64_t tile = thread / threads_of_tile;
  const int first = static_cast<int>(thread % threads_of_tile) * width;
  const std::int64_t at = tile * (2 * half) + first;
  if (at >= count) return;
  std::uint32_t words[4][width] = {};
  if constexpr (sizeof(T) == 2) {
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const Words drawn = draw(static_cast<std::uint32_t>(tile * half + first + i), key);
#pragma unroll
      for (int k = 0; k < 4; ++k) words[k][i] = drawn.word[k];
    }
  }
  const auto inside = [&](std::int64_t from) {
    return static_cast<int>(count - from < width ? (count > from ? count - from : 0) : width);
  };
  update<T, width>(arrays, at, inside(at), f, scale, words[0], words[1]);
  update<T, width>(arrays, at + half, inside(at + half), f, scale, words[2], words[3]);
}

/// Sum over a block of float64 numbers, in a fixed order, for thread 0.
__device__ double block_total(double value, double* shared) {
  shared[threadIdx.x] = value;
  __syncthreads();
  for (unsigned step = threads / 2; step > 0; step /= 2) {
    if (threadIdx.x < step) shared[threadIdx.x] += shared[threadIdx.x + step];
    __syncthreads();
  }
  return shared[0];
}

/// Squares of up to 8 elements are summed in float32, the rest in float64, of which most cards have few units.
template <typename T, typename V>
__global__ void __launch_bounds__(threads)
    sum_of_squares_kernel(const T* __restrict__ values, double* __restrict__ partial, std::int64_t count) {
  __shared__ double shared[threads];
  constexpr std::int64_t stride = static_cast<std::int64_t>(sum_of_squares_partials) * threads * V::size;
  double sum = 0.0;
  std::int64_t at = (static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x) * V::size;
  for (; at + V::size <= count; at += stride) {
    const V vector = load<V>(values + at);
    float part = 0.0f;
#pragma unroll
    for (int i = 0; i < V::size; ++i) part += widen(vector.values[i]) * widen(vector.values[i]);
    sum += static_cast<double>(part);
  }
  for (; at < count; ++at) sum += static_cast<double>(widen(values[at]) * widen(values[at]));  // one thread's tail
  const double total = block_total(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

__global__ void __launch_bounds__(threads)
    total_kernel(const double* __restrict__ partial, double* __restrict__ result) {
  __shared__ double shared[threads];
  double sum = 0.0;
  for (int i = static_cast<int>(threadIdx.x); i < sum_of_squares_partials; i += threads) sum += partial[i];
  sum = block_total(sum, shared);
  if (threadIdx.x == 0) *result = sum;
}

template <typename T>
int adamw(const AdamWParams& p, cudaStream_t stream) {
  const Arrays<T> arrays{static_cast<T*>(p.parameter), static_cast<T*>(p.exp_avg), static_cast<T*>(p.exp_avg_sq),
                         static_cast<T*>(p.target), static_cast<const T*>(p.gradient)};
  const bool wide =
      is_wide(p.parameter) && is_wide(p.exp_avg) && is_wide(p.exp_avg_sq) && is_wide(p.target) && is_wide(p.gradient);
  constexpr int width = Wide<T>::size;
  const std::int64_t tiles = (p.count + 2 * half - 1) / (2 * half), of_tile = wide ? half / width : half;
  const auto kernel = wide ? &adamw_kernel<T, width> : &adamw_kernel<T, 1>;
  return launch(kernel, (tiles * of_tile + threads - 1) / threads, threads, 0, stream, arrays, p.factors, p.key,
                p.gradient_scale, p.count);
}

template <typename T>
int sum_of_squares(const SumOfSquaresParams& p, cudaStream_t stream) {
  const auto kernel = is_wide(p.values) ? &sum_of_squares_kernel<T, Wide<T>> : &sum_of_squares_kernel<T, Vector<T, 1>>;
  const int error =
      launch(kernel, sum_of_squares_partials, threads, 0, stream, static_cast<const T*>(p.values), p.partial, p.count);
  return error != 0 ? error
                    : launch(&total_kernel, 1, threads, 0, stream, static_cast<const double*>(p.partial), p.result);
}

}  // namespace

int launch_adamw(const AdamWParams& params, CUstream_st* stream) {
  if (params.count == 0) return 0;
  return params.dtype == Dtype::kFloat32 ? adamw<float>(params, stream) : adamw<__nv_bfloat16>(params, stream);
}

int launch_sum_of_squares(const SumOfSquaresParams& params, CUstream_st* stream) {
  return params.dtype == Dtype::kFloat32 ? sum_of_squares<float>(params, stream)
                                         : sum_of_squares<__nv_bfloat16>(params, stream);
}

}  // namespace ehrjepa::kernels
