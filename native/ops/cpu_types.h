#pragma once
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include "ops/bf16_rounding.h"

#if AT_PARALLEL_OPENMP && !defined(_OPENMP)
#error "at::parallel_for runs on one thread, and says nothing, when a file is compiled without OpenMP"
#endif

// What every CPU kernel needs to go from tensors to pointers.
namespace ehrjepa::ops {

/// Calls `run` with (element type, accumulation type) of a dtype that the op has checked.
template <typename Run>
void with_types(at::ScalarType dtype, const Run& run) {
  if (dtype == at::kDouble) return run(double{}, double{});
  if (dtype == at::kFloat) return run(float{}, float{});
  TORCH_CHECK_VALUE(dtype == at::kBFloat16, "[ops] tensors must be float32, bfloat16 or float64 but are ", dtype);
  return run(Bf16{}, float{});
}

template <typename T>
T* data_of(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

/// Enough work for a thread to be worth waking.
constexpr std::int64_t elements_per_task = 16'384;

}  // namespace ehrjepa::ops
