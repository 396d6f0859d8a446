#include "model/predictor.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

#include <cmath>

namespace ehrjepa::model {
namespace {
// Far above any decoder's parameter index, so that the predictor's draws do not change with the number of layers.
constexpr std::uint32_t first_stream = 1'000'000;
}  // namespace

std::vector<NamedTensor> Predictor::named() const {
  if (!fc1_weight.defined()) return {};
  return {{"predictor.fc1.weight", fc1_weight},
          {"predictor.fc1.bias", fc1_bias},
          {"predictor.fc2.weight", fc2_weight},
          {"predictor.fc2.bias", fc2_bias}};
}

at::Tensor Predictor::forward(const at::Tensor& hidden) const {
  if (!fc1_weight.defined()) return hidden;
  const at::ScalarType dtype = hidden.scalar_type();
  const at::Tensor inner = at::gelu(at::linear(hidden, fc1_weight.to(dtype), fc1_bias.to(dtype)));
  return at::linear(inner, fc2_weight.to(dtype), fc2_bias.to(dtype));
}

Predictor initialise_predictor(std::int64_t hidden_size, std::int64_t width, std::uint64_t seed) {
  if (width == 0) return {};
  const auto deviation = [](std::int64_t fan_in) { return 1.0 / std::sqrt(static_cast<double>(fan_in)); };
  return {normal_parameter({width, hidden_size}, deviation(hidden_size), seed, first_stream),
          at::zeros({width}, at::kFloat),
          normal_parameter({hidden_size, width}, deviation(width), seed, first_stream + 1),
          at::zeros({hidden_size}, at::kFloat)};
}

}  // namespace ehrjepa::model
