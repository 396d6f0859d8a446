#include "model/transformer_predictor.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linspace.h>

#include <array>
#include <cmath>
#include <numbers>
#include <string>

#include "model/predictor_layout.h"
#include "model/repeated_rows.h"
#include "ops/linear/linear.h"
#include "ops/rms_norm/rms_norm.h"

namespace ehrjepa::model {
namespace {

constexpr double norm_eps = 1e-6;

using Outer = PredictorRow<TransformerPredictor>;
using Layer = PredictorRow<TransformerPredictorLayer>;
using Size = PredictorSize;
using Start = PredictorStart;

// The layout, in the order in which the initial values are drawn: rows before the layers, of each layer, behind them.
constexpr std::array rows_before = {
    Outer{"context_proj.weight", &TransformerPredictor::context_weight, Size::kWidth, Size::kHidden,
          PredictorInitial::kMatrix},
    Outer{"context_proj.bias", &TransformerPredictor::context_bias, Size::kWidth, Size::kOne, PredictorInitial::kZeros},
    Outer{"branch_proj.weight", &TransformerPredictor::branch_weight, Size::kWidth, Size::kHidden,
          PredictorInitial::kMatrix, Start::kBranch},
    Outer{"branch_proj.bias", &TransformerPredictor::branch_bias, Size::kWidth, Size::kOne, PredictorInitial::kZeros,
          Start::kBranch},
    Outer{"query_token", &TransformerPredictor::query_token, Size::kWidth, Size::kOne, PredictorInitial::kToken,
          Start::kState},
    Outer{"time_proj.weight", &TransformerPredictor::time_weight, Size::kWidth, Size::kWidth,
          PredictorInitial::kMatrix},
    Outer{"time_proj.bias", &TransformerPredictor::time_bias, Size::kWidth, Size::kOne, PredictorInitial::kZeros},
};
constexpr std::array rows_of_layer = {
    Layer{"attention_norm.weight", &TransformerPredictorLayer::attention_norm, Size::kWidth, Size::kOne,
          PredictorInitial::kOnes},
    Layer{"q_proj.weight", &TransformerPredictorLayer::q_proj, Size::kWidth, Size::kWidth, PredictorInitial::kMatrix},
    Layer{"k_proj.weight", &TransformerPredictorLayer::k_proj, Size::kWidth, Size::kWidth, PredictorInitial::kMatrix},
    Layer{"v_proj.weight", &TransformerPredictorLayer::v_proj, Size::kWidth, Size::kWidth, PredictorInitial::kMatrix},
    Layer{"o_proj.weight", &TransformerPredictorLayer::o_proj, Size::kWidth, Size::kWidth, PredictorInitial::kMatrix},
    Layer{"mlp_norm.weight", &TransformerPredictorLayer::mlp_norm, Size::kWidth, Size::kOne, PredictorInitial::kOnes},
    Layer{"fc1.weight", &TransformerPredictorLayer::fc1_weight, Size::kInner, Size::kWidth, PredictorInitial::kMatrix},
    Layer{"fc1.bias", &TransformerPredictorLayer::fc1_bias, Size::kInner, Size::kOne, PredictorInitial::kZeros},
    Layer{"fc2.weight", &TransformerPredictorLayer::fc2_weight, Size::kWidth, Size::kInner, PredictorInitial::kMatrix},
    Layer{"fc2.bias", &TransformerPredictorLayer::fc2_bias, Size::kWidth, Size::kOne, PredictorInitial::kZeros},
};
constexpr std::array rows_behind = {
    Outer{"norm.weight", &TransformerPredictor::norm, Size::kWidth, Size::kOne, PredictorInitial::kOnes},
    Outer{"output_proj.weight", &TransformerPredictor::output_weight, Size::kHidden, Size::kWidth,
          PredictorInitial::kMatrix},
    Outer{"output_proj.bias", &TransformerPredictor::output_bias, Size::kHidden, Size::kOne, PredictorInitial::kZeros},
};

Start start_of(const TransformerPredictorShape& shape) { return shape.from_state ? Start::kState : Start::kBranch; }

at::Tensor mlp(const at::Tensor& x, const TransformerPredictorLayer& layer) {
  const at::Tensor normed = ops::rms_norm(x, layer.mlp_norm, norm_eps);
  const at::Tensor inner = at::gelu(ops::linear(normed, layer.fc1_weight, layer.fc1_bias));
  return ops::linear(inner, layer.fc2_weight, layer.fc2_bias);
}

}  // namespace

std::vector<NamedTensor> TransformerPredictor::named() const {
  std::vector<NamedTensor> result;
  const auto list = [&](const std::string& prefix, const auto& owner, const auto& rows) {
    for (const auto& row : rows) {
      if ((owner.*row.field).defined()) result.push_back({prefix + std::string(row.name), owner.*row.field});
    }
  };
  // Files hold the layers last.
  list("predictor.", *this, rows_before);
  list("predictor.", *this, rows_behind);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    list("predictor.layers." + std::to_string(i) + ".", layers[i], rows_of_layer);
  }
  return result;
}

TransformerPredictor TransformerPredictor::cast(const at::TensorOptions& options) const {
  TransformerPredictor result;
  result.heads = heads;
  cast_rows(result, *this, rows_before, options);
  cast_rows(result, *this, rows_behind, options);
  for (const TransformerPredictorLayer& layer : layers)
    cast_rows(result.layers.emplace_back(), layer, rows_of_layer, options);
  return result;
}

at::Tensor TransformerPredictor::forward(const PredictedRows& rows) const {
  const std::int64_t width = norm.size(0);
  const std::int64_t head_size = width / heads;
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_size));
  const auto split = [&](const at::Tensor& x, const at::Tensor& projection) {
    return ops::linear(x, projection).view({x.size(0), heads, head_size});
  };
  // The encoding is made in at least float32: in bfloat16 a year, and a year and a day, would be the same.
  const at::ScalarType dtype = norm.scalar_type();
  const at::Tensor days_M = rows.days_M.to(dtype == at::kDouble ? at::kDouble : at::kFloat);
  at::Tensor c_CW = ops::linear(rows.context_CD, context_weight, context_bias);
  at::Tensor q_MW = ops::linear(time_encoding(days_M, width).to(dtype), time_weight, time_bias) +
                    (query_token.defined() ? query_token : ops::linear(rows.branch_MD, branch_weight, branch_bias));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const TransformerPredictorLayer& layer = layers[i];
    const at::Tensor normed_c = ops::rms_norm(c_CW, layer.attention_norm, norm_eps);
    const at::Tensor normed_q = ops::rms_norm(q_MW, layer.attention_norm, norm_eps);
    const auto of_row = [&](const at::Tensor& x_CHE) { return repeated_rows(x_CHE, rows.context_of_M); };
    const at::Tensor q_MHE = split(normed_q, layer.q_proj);
    const at::Tensor context_v_CHE = split(normed_c, layer.v_proj);
    const at::Tensor to_context = (q_MHE * of_row(split(normed_c, layer.k_proj))).sum(-1, true);
    const at::Tensor to_itself = (q_MHE * split(normed_q, layer.k_proj)).sum(-1, true);
    // A softmax over two scores is a sigmoid of their difference.
    const at::Tensor share = ((to_context - to_itself) * scale).sigmoid();
    const at::Tensor mixed = share * of_row(context_v_CHE) + (1.0 - share) * split(normed_q, layer.v_proj);
    q_MW = q_MW + ops::linear(mixed.reshape({-1, width}), layer.o_proj);
    q_MW = q_MW + mlp(q_MW, layer);
    if (i + 1 == layers.size()) break;  // nothing reads the context token of the last block
    c_CW = c_CW + ops::linear(context_v_CHE.reshape({-1, width}), layer.o_proj);
    c_CW = c_CW + mlp(c_CW, layer);
  }
  return ops::linear(ops::rms_norm(q_MW, norm, norm_eps), output_weight, output_bias);
}

TransformerPredictor initialise_transformer_predictor(const TransformerPredictorShape& shape, std::uint64_t seed,
                                                      std::uint32_t first_stream) {
  std::uint32_t stream = first_stream;
  const PredictorSizes sizes{shape.hidden_size, shape.width};
  TransformerPredictor result;
  result.heads = shape.heads;
  initialise_rows(result, rows_before, sizes, seed, stream, start_of(shape));
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    initialise_rows(result.layers.emplace_back(), rows_of_layer, sizes, seed, stream);
  }
  initialise_rows(result, rows_behind, sizes, seed, stream);
  return result;
}

std::int64_t parameter_count(const TransformerPredictorShape& shape) {
  const PredictorSizes sizes{shape.hidden_size, shape.width};
  return count_of(rows_before, sizes, start_of(shape)) + shape.layers * count_of(rows_of_layer, sizes) +
         count_of(rows_behind, sizes);
}

at::Tensor time_encoding(const at::Tensor& days_M, std::int64_t width) {
  constexpr double longest = 22.0, shortest = 0.5;
  const double octaves = std::log2(longest / shortest);
  const at::Tensor period = longest * at::linspace(0.0, -octaves, width / 2, days_M.options()).exp2();
  const at::Tensor angle = days_M.log1p().unsqueeze(-1) * (2.0 * std::numbers::pi / period);
  return at::cat({angle.sin(), angle.cos()}, -1);
}

}  // namespace ehrjepa::model
