#include "train/muon.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>

#include "ops/linear/products.h"

namespace ehrjepa::train {

at::Tensor orthogonalised(const at::Tensor& matrix_RC, at::ScalarType products) {
  // Coefficients of Jordan et al.: the steepest rise of small singular values that stays within about 0.7 and 1.2.
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  constexpr int steps = 5;
  const bool is_tall = matrix_RC.size(0) > matrix_RC.size(1);
  at::Tensor x = is_tall ? matrix_RC.t() : matrix_RC;
  x = (x / (at::linalg_vector_norm(x) + 1e-7)).to(products).contiguous();
  for (int step = 0; step < steps; ++step) {
    const at::Tensor square = ops::linear_product(x, x);
    // The square is its own transpose.
    x = a * x + ops::linear_input_gradient(b * square + c * ops::linear_product(square, square), x);
  }
  x = x.to(matrix_RC.scalar_type());
  return is_tall ? x.t() : x;
}

void muon_(const at::Tensor& parameter_RC, const at::Tensor& moment_RC, const at::Tensor& gradient_RC,
           const MuonUpdate& update) {
  const at::Tensor& scale = update.gradient_scale;
  const at::Tensor gradient = scale.defined() ? gradient_RC * scale.to(gradient_RC.scalar_type()) : gradient_RC;
  const at::Tensor moment = moment_RC.lerp(gradient, 1.0 - update.momentum);
  const at::Tensor ahead = moment.lerp(gradient, 1.0 - update.momentum);
  const double longer = static_cast<double>(std::max(parameter_RC.size(0), parameter_RC.size(1)));
  const at::Tensor parameter = parameter_RC * (1.0 - update.learning_rate * update.weight_decay);
  parameter.sub_(orthogonalised(ahead, update.products), update.learning_rate * 0.2 * std::sqrt(longer));
  const auto write = [&](const at::Tensor& to, const at::Tensor& values) {
    to.copy_(scale.defined() ? at::where(scale.isfinite(), values, to) : values);
  };
  write(moment_RC, moment);
  write(parameter_RC, parameter);
}

}  // namespace ehrjepa::train
