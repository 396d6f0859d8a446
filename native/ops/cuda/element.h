// Elements in registers: float32 while computed with, 16 bytes at a time on their way.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace ehrjepa::kernels {

__device__ inline float widen(float value) { return value; }
__device__ inline float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename T>
__device__ T narrow(float value);
template <>
__device__ inline float narrow<float>(float value) {
  return value;
}
template <>
__device__ inline __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

/// What one instruction loads or stores: `count` elements, at a multiple of their size.
template <typename T, int count>
struct alignas(sizeof(T) * count) Vector {
  static constexpr int size = count;
  T values[count];
};

/// The widest: 16 bytes.
template <typename T>
using Wide = Vector<T, 16 / sizeof(T)>;

template <typename V, typename T>
__device__ V load(const T* from) {
  return *reinterpret_cast<const V*>(from);
}
template <typename V, typename T>
__device__ void store(T* to, const V& vector) {
  *reinterpret_cast<V*>(to) = vector;
}

/// On the host: whether 16 bytes at a time can be taken from there.
inline bool is_wide(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

}  // namespace ehrjepa::kernels
