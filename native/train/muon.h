#pragma once
#include <ATen/core/Tensor.h>

namespace ehrjepa::train {

/// Factors of an update by Muon.
struct MuonUpdate {
  /// () float64 where the parameter is: what clipping makes of the gradient. One that is not finite leaves everything
  /// as it is. Undefined: 1.
  at::Tensor gradient_scale = {};
  double learning_rate = 0.0;
  double momentum = 0.95;  ///< mu
  double weight_decay = 0.0;
  at::ScalarType products = at::kFloat;  ///< of orthogonalising: float32 or bfloat16
};

/// The nearest matrix with orthonormal rows or columns, whichever are fewer, by five steps of Newton and Schulz:
/// singular values end between about 0.7 and 1.2, whatever they were (Jordan et al. 2024, "Muon"). A matrix of zeros
/// stays zeros.
/// @param matrix_RC  (R, C) float32. @param products  what is multiplied, bfloat16 in the original. @return (R, C)
/// float32.
at::Tensor orthogonalised(const at::Tensor& matrix_RC, at::ScalarType products = at::kFloat);

/// Muon with Nesterov momentum and decoupled decay, in place:
///
///   m = m + (1 - mu)(g - m)
///   p = (1 - lr decay) p - lr 0.2 sqrt(max(R, C)) orthogonalised(m + (1 - mu)(g - m))
///
/// The factor 0.2 sqrt(max(R, C)) gives the update the root mean square that AdamW's has, so that one learning rate and
/// one decay serve both (Liu et al. 2025, "Muon is scalable for LLM training", section 2.2).
///
/// @param parameter_RC, moment_RC, gradient_RC  (R, C) float32.
void muon_(const at::Tensor& parameter_RC, const at::Tensor& moment_RC, const at::Tensor& gradient_RC,
           const MuonUpdate& update);

}  // namespace ehrjepa::train
