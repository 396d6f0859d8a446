#pragma once
#include <cstdint>

#include "ops/adamw/cpu_kernels.h"
#include "ops/cuda/dtype.h"

struct CUstream_st;  // cudaStream_t is CUstream_st*

namespace ehrjepa::kernels {

/// AdamW and the momentum update of the target for `count` elements, with the bits of the CPU's kernels. Pointers are
/// device memory of `dtype`; bfloat16 results are rounded stochastically.
struct AdamWParams {
  void* parameter;
  void* exp_avg;
  void* exp_avg_sq;
  void* target;                  ///< null: no target encoder holds this parameter
  const void* gradient;          ///< null: the target alone moves
  const double* gradient_scale;  ///< one number; not finite: everything stays as it is. Null: 1
  ops::adamw_cpu::Factors factors;
  ops::adamw_cpu::RoundingKey key;
  std::int64_t count;
  Dtype dtype;
};

struct SumOfSquaresParams {
  const void* values;  ///< (count) of `dtype`
  double* partial;     ///< (sum_of_squares_partials) work space
  double* result;      ///< one number
  std::int64_t count;
  Dtype dtype;
};

/// Partial sums: fixed, so that the result does not depend on the device.
constexpr int sum_of_squares_partials = 1024;

/// Launch on `stream`; return the CUDA error code of the launch, 0 when it was accepted.
int launch_adamw(const AdamWParams& params, CUstream_st* stream);
int launch_sum_of_squares(const SumOfSquaresParams& params, CUstream_st* stream);

}  // namespace ehrjepa::kernels
