#include "model/predictor.h"

#include <ATen/ops/gelu.h>

#include <array>
#include <string>
#include <utility>

#include "core/error.h"
#include "model/predictor_layout.h"
#include "ops/linear/linear.h"

namespace ehrjepa::model {
namespace {

// Far above any decoder's parameter index, so that the predictor's draws do not change with the number of layers.
constexpr std::uint32_t first_predictor_stream = 1'000'000;

void require_predictor(bool holds, const std::string& rule, std::int64_t found) {
  if (!holds) throw Error("[predictor] " + rule + " but is " + std::to_string(found));
}

// In the order in which the initial values are drawn.
constexpr std::array mlp_rows = {
    PredictorRow<MlpPredictor>{"fc1.weight", &MlpPredictor::fc1_weight, PredictorSize::kWidth, PredictorSize::kHidden,
                               PredictorInitial::kMatrix},
    PredictorRow<MlpPredictor>{"fc1.bias", &MlpPredictor::fc1_bias, PredictorSize::kWidth, PredictorSize::kOne,
                               PredictorInitial::kZeros},
    PredictorRow<MlpPredictor>{"fc2.weight", &MlpPredictor::fc2_weight, PredictorSize::kHidden, PredictorSize::kWidth,
                               PredictorInitial::kMatrix},
    PredictorRow<MlpPredictor>{"fc2.bias", &MlpPredictor::fc2_bias, PredictorSize::kHidden, PredictorSize::kOne,
                               PredictorInitial::kZeros},
};

TransformerPredictorShape transformer_shape(const PredictorOptions& options, std::int64_t hidden_size) {
  return {.hidden_size = hidden_size,
          .width = options.width,
          .layers = options.layers,
          .heads = options.heads,
          .from_state = options.from_state};
}

}  // namespace

void check(const PredictorOptions& options) {
  if (options.kind == PredictorKind::kIdentity) return;
  require_predictor(options.width > 0, "width must be positive", options.width);
  if (options.kind == PredictorKind::kMlp) return;
  require_predictor(options.layers > 0, "layers must be positive", options.layers);
  require_predictor(options.heads > 0, "heads must be positive", options.heads);
  require_predictor(options.width % 2 == 0, "width must be even, for the sines and cosines of the time,",
                    options.width);
  require_predictor(options.width % options.heads == 0,
                    "heads must divide width (" + std::to_string(options.width) + ")", options.heads);
}

std::int64_t parameter_count(const PredictorOptions& options, std::int64_t hidden_size) {
  switch (options.kind) {
    case PredictorKind::kIdentity:
      return 0;
    case PredictorKind::kMlp:
      return count_of(mlp_rows, {hidden_size, options.width});
    case PredictorKind::kTransformer:
      return parameter_count(transformer_shape(options, hidden_size));
  }
  throw Error("[predictor] unknown kind");
}

at::Tensor MlpPredictor::forward(const at::Tensor& hidden_MD) const {
  return ops::linear(at::gelu(ops::linear(hidden_MD, fc1_weight, fc1_bias)), fc2_weight, fc2_bias);
}

std::vector<NamedTensor> Predictor::named() const {
  std::vector<NamedTensor> result;
  if (const auto* mlp = std::get_if<MlpPredictor>(&network_)) {
    for (const auto& row : mlp_rows) result.push_back({"predictor." + std::string(row.name), mlp->*row.field});
  }
  if (const auto* transformer = std::get_if<TransformerPredictor>(&network_)) return transformer->named();
  return result;
}

Predictor Predictor::cast(const at::TensorOptions& options) const {
  if (const auto* mlp = std::get_if<MlpPredictor>(&network_)) {
    MlpPredictor result;
    cast_rows(result, *mlp, mlp_rows, options);
    return Predictor(std::move(result));
  }
  if (const auto* transformer = std::get_if<TransformerPredictor>(&network_)) {
    return Predictor(transformer->cast(options));
  }
  return {};
}

bool Predictor::from_state() const {
  const auto* transformer = std::get_if<TransformerPredictor>(&network_);
  return transformer != nullptr && transformer->query_token.defined();
}

at::Tensor Predictor::forward(const PredictedRows& rows) const {
  if (from_state() != !rows.branch_MD.defined()) {
    throw Error(from_state() ? "[predictor] a predictor that starts from the state must be given no branch rows but is "
                               "given some: train it with branch kind \"state\""
                             : "[predictor] predictions must have a branch row each but have none: branch kind "
                               "\"state\" and predictLatent need a transformer predictor that starts from the state");
  }
  if (const auto* mlp = std::get_if<MlpPredictor>(&network_)) return mlp->forward(rows.branch_MD);
  if (const auto* transformer = std::get_if<TransformerPredictor>(&network_)) return transformer->forward(rows);
  return rows.branch_MD;
}

Predictor initialise_predictor(std::int64_t hidden_size, const PredictorOptions& options, std::uint64_t seed) {
  check(options);
  std::uint32_t stream = first_predictor_stream;
  switch (options.kind) {
    case PredictorKind::kIdentity:
      return {};
    case PredictorKind::kMlp: {
      MlpPredictor mlp;
      initialise_rows(mlp, mlp_rows, {hidden_size, options.width}, seed, stream);
      return Predictor(std::move(mlp));
    }
    case PredictorKind::kTransformer:
      return Predictor(initialise_transformer_predictor(transformer_shape(options, hidden_size), seed, stream));
  }
  throw Error("[predictor] unknown kind");
}

}  // namespace ehrjepa::model
