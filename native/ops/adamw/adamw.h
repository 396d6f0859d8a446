#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ehrjepa::ops {

/// One parameter and what belongs to it: same shape and dtype, float32 or bfloat16, contiguous, on one device.
struct AdamWTensors {
  at::Tensor parameter;
  at::Tensor exp_avg;
  at::Tensor exp_avg_sq;
  at::Tensor target;    ///< of the target encoder; undefined: it has no such parameter
  at::Tensor gradient;  ///< undefined: the target alone moves
};

/// Factors of an update, and the key of its random words.
struct AdamWUpdate {
  /// () float64 where the parameter is: what clipping makes of the gradient. One that is not finite leaves everything
  /// as it is, without the host having to know. Undefined: 1.
  at::Tensor gradient_scale = {};
  double learning_rate = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  std::int64_t updates = 1;  ///< t: of this parameter, this one included
  double momentum = 1.0;     ///< tau, of the target
  std::uint64_t seed = 0;
  std::uint32_t step = 0;       ///< of the run
  std::uint32_t parameter = 0;  ///< number of the parameter in the model
};

/// AdamW and the momentum update of the target encoder in one pass, in place:
///
///   g = scale * gradient
///   m = m + (1 - beta1)(g - m)             v = beta2 v + (1 - beta2) g^2
///   p = (1 - lr decay) p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)
///   target = target + (1 - tau)(p - target)
///
/// In float32, without fused products and sums: every instruction set gives the same bits. bfloat16 results are rounded
/// stochastically to one of the two neighbours, so that their mean over the draws is the float32 result; the target
/// follows the rounded p. A draw is a function of (seed, step, parameter, element) alone, never of threads.
///
/// @throws c10::ValueError  on shapes, dtypes or devices that differ, a dtype that is neither, tensors that are not
///                          contiguous, and factors out of range.
/// Source: Loshchilov & Hutter 2019; Grill et al. 2020 (BYOL) for the target; Gupta et al. 2015 for the rounding.
void adamw_(const AdamWTensors& tensors, const AdamWUpdate& update);

/// The same mathematics in plain ATen: the oracle of every test, to the bit, and what computes on a device without
/// kernels of its own. The words of the rounding are drawn on the host.
void adamw_reference_(const AdamWTensors& tensors, const AdamWUpdate& update);

/// Sum of the squares of a contiguous float32 or bfloat16 tensor, () float64 where it is; it does not depend on
/// threads.
at::Tensor sum_of_squares(const at::Tensor& values);

}  // namespace ehrjepa::ops
