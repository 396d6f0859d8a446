#include "model/transformer_predictor.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "ops/rms_norm/rms_norm.h"

namespace ehrjepa::model {
namespace {

constexpr double norm_eps = 1e-6;

// Names and places, once for listing and casting.
constexpr std::array<std::pair<const char*, at::Tensor TransformerPredictor::*>, 10> outer_fields = {{
    {"context_proj.weight", &TransformerPredictor::context_weight},
    {"context_proj.bias", &TransformerPredictor::context_bias},
    {"branch_proj.weight", &TransformerPredictor::branch_weight},
    {"branch_proj.bias", &TransformerPredictor::branch_bias},
    {"query_token", &TransformerPredictor::query_token},
    {"time_proj.weight", &TransformerPredictor::time_weight},
    {"time_proj.bias", &TransformerPredictor::time_bias},
    {"norm.weight", &TransformerPredictor::norm},
    {"output_proj.weight", &TransformerPredictor::output_weight},
    {"output_proj.bias", &TransformerPredictor::output_bias},
}};
constexpr std::array<std::pair<const char*, at::Tensor TransformerPredictorLayer::*>, 10> layer_fields = {{
    {"attention_norm.weight", &TransformerPredictorLayer::attention_norm},
    {"q_proj.weight", &TransformerPredictorLayer::q_proj},
    {"k_proj.weight", &TransformerPredictorLayer::k_proj},
    {"v_proj.weight", &TransformerPredictorLayer::v_proj},
    {"o_proj.weight", &TransformerPredictorLayer::o_proj},
    {"mlp_norm.weight", &TransformerPredictorLayer::mlp_norm},
    {"fc1.weight", &TransformerPredictorLayer::fc1_weight},
    {"fc1.bias", &TransformerPredictorLayer::fc1_bias},
    {"fc2.weight", &TransformerPredictorLayer::fc2_weight},
    {"fc2.bias", &TransformerPredictorLayer::fc2_bias},
}};

at::Tensor mlp(const at::Tensor& x, const TransformerPredictorLayer& layer) {
  const at::Tensor normed = ops::rms_norm(x, layer.mlp_norm, norm_eps);
  const at::Tensor inner = at::gelu(at::linear(normed, layer.fc1_weight, layer.fc1_bias));
  return at::linear(inner, layer.fc2_weight, layer.fc2_bias);
}

}  // namespace

std::vector<NamedTensor> TransformerPredictor::named() const {
  std::vector<NamedTensor> result;
  for (const auto& [name, field] : outer_fields) {
    if ((this->*field).defined()) result.push_back({std::string("predictor.") + name, this->*field});
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string prefix = "predictor.layers." + std::to_string(i) + ".";
    for (const auto& [name, field] : layer_fields) result.push_back({prefix + name, layers[i].*field});
  }
  return result;
}

TransformerPredictor TransformerPredictor::cast(at::ScalarType dtype) const {
  TransformerPredictor result;
  result.heads = heads;
  for (const auto& [name, field] : outer_fields) {
    if ((this->*field).defined()) result.*field = (this->*field).to(dtype);
  }
  for (const TransformerPredictorLayer& layer : layers) {
    TransformerPredictorLayer& mapped = result.layers.emplace_back();
    for (const auto& [name, field] : layer_fields) mapped.*field = (layer.*field).to(dtype);
  }
  return result;
}

at::Tensor TransformerPredictor::forward(const PredictedRows& rows) const {
  const std::int64_t width = norm.size(0);
  const std::int64_t head_size = width / heads;
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_size));
  const auto split = [&](const at::Tensor& x, const at::Tensor& projection) {
    return at::linear(x, projection).view({x.size(0), heads, head_size});
  };
  // The encoding is made in at least float32: in bfloat16 a year and a year and a day would be one.
  const at::ScalarType dtype = norm.scalar_type();
  const at::Tensor days_M = rows.days_M.to(dtype == at::kDouble ? at::kDouble : at::kFloat);
  at::Tensor c_CW = at::linear(rows.context_CD, context_weight, context_bias);
  at::Tensor q_MW = at::linear(time_encoding(days_M, width).to(dtype), time_weight, time_bias) +
                    (query_token.defined() ? query_token : at::linear(rows.branch_MD, branch_weight, branch_bias));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const TransformerPredictorLayer& layer = layers[i];
    const at::Tensor normed_c = ops::rms_norm(c_CW, layer.attention_norm, norm_eps);
    const at::Tensor normed_q = ops::rms_norm(q_MW, layer.attention_norm, norm_eps);
    const auto of_row = [&](const at::Tensor& x_CHE) { return x_CHE.index_select(0, rows.context_of_M); };
    const at::Tensor q_MHE = split(normed_q, layer.q_proj);
    const at::Tensor context_v_CHE = split(normed_c, layer.v_proj);
    const at::Tensor to_context = (q_MHE * of_row(split(normed_c, layer.k_proj))).sum(-1, true);
    const at::Tensor to_itself = (q_MHE * split(normed_q, layer.k_proj)).sum(-1, true);
    // A softmax over two scores is a sigmoid of their difference.
    const at::Tensor share = ((to_context - to_itself) * scale).sigmoid();
    const at::Tensor mixed = share * of_row(context_v_CHE) + (1.0 - share) * split(normed_q, layer.v_proj);
    q_MW = q_MW + at::linear(mixed.reshape({-1, width}), layer.o_proj);
    q_MW = q_MW + mlp(q_MW, layer);
    if (i + 1 == layers.size()) break;  // nothing reads the context token of the last block
    c_CW = c_CW + at::linear(context_v_CHE.reshape({-1, width}), layer.o_proj);
    c_CW = c_CW + mlp(c_CW, layer);
  }
  return at::linear(ops::rms_norm(q_MW, norm, norm_eps), output_weight, output_bias);
}

TransformerPredictor initialise_transformer_predictor(const TransformerPredictorShape& shape, std::uint64_t seed,
                                                      std::uint32_t first_stream) {
  std::uint32_t index = first_stream;
  const auto matrix = [&](std::int64_t out, std::int64_t in) {
    return normal_parameter({out, in}, 1.0 / std::sqrt(static_cast<double>(in)), seed, index++);
  };
  const auto zeros = [](std::int64_t size) { return at::zeros({size}, at::kFloat); };
  const auto ones = [](std::int64_t size) { return at::ones({size}, at::kFloat); };
  const std::int64_t width = shape.width;
  TransformerPredictor result;
  result.heads = shape.heads;
  result.context_weight = matrix(width, shape.hidden_size);
  result.context_bias = zeros(width);
  if (shape.from_state) {
    result.query_token = normal_parameter({width}, 0.02, seed, index++);
  } else {
    result.branch_weight = matrix(width, shape.hidden_size);
    result.branch_bias = zeros(width);
  }
  result.time_weight = matrix(width, width);
  result.time_bias = zeros(width);
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    TransformerPredictorLayer& layer = result.layers.emplace_back();
    layer.attention_norm = ones(width);
    layer.q_proj = matrix(width, width);
    layer.k_proj = matrix(width, width);
    layer.v_proj = matrix(width, width);
    layer.o_proj = matrix(width, width);
    layer.mlp_norm = ones(width);
    layer.fc1_weight = matrix(4 * width, width);
    layer.fc1_bias = zeros(4 * width);
    layer.fc2_weight = matrix(width, 4 * width);
    layer.fc2_bias = zeros(width);
  }
  result.norm = ones(width);
  result.output_weight = matrix(shape.hidden_size, width);
  result.output_bias = zeros(shape.hidden_size);
  return result;
}

at::Tensor time_encoding(const at::Tensor& days_M, std::int64_t width) {
  constexpr double longest = 22.0, shortest = 0.5;
  const double octaves = std::log2(longest / shortest);
  const at::Tensor period = longest * at::linspace(0.0, -octaves, width / 2, days_M.options()).exp2();
  const at::Tensor angle = days_M.log1p().unsqueeze(-1) * (2.0 * std::numbers::pi / period);
  return at::cat({angle.sin(), angle.cos()}, -1);
}

}  // namespace ehrjepa::model
