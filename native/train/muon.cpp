#include "train/muon.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>

#include <algorithm>
#include <cmath>

namespace ehrjepa::train {

at::Tensor orthogonalised(const at::Tensor& matrix_RC) {
  // Coefficients of Jordan et al.: the steepest rise of small singular values that stays within about 0.7 and 1.2.
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  constexpr int steps = 5;
  const bool is_tall = matrix_RC.size(0) > matrix_RC.size(1);
  at::Tensor x = is_tall ? matrix_RC.t() : matrix_RC;
  x = x / (at::linalg_vector_norm(x) + 1e-7);
  for (int step = 0; step < steps; ++step) {
    const at::Tensor square = x.matmul(x.t());
    x = a * x + (b * square + c * square.matmul(square)).matmul(x);
  }
  return is_tall ? x.t() : x;
}

void muon_(const at::Tensor& parameter_RC, const at::Tensor& moment_RC, const at::Tensor& gradient_RC,
           const MuonUpdate& update) {
  const at::Tensor gradient = gradient_RC * update.gradient_scale;
  moment_RC.lerp_(gradient, 1.0 - update.momentum);
  const at::Tensor ahead = moment_RC.lerp(gradient, 1.0 - update.momentum);
  const double longer = static_cast<double>(std::max(parameter_RC.size(0), parameter_RC.size(1)));
  parameter_RC.mul_(1.0 - update.learning_rate * update.weight_decay);
  parameter_RC.sub_(orthogonalised(ahead), update.learning_rate * 0.2 * std::sqrt(longer));
}

}  // namespace ehrjepa::train
