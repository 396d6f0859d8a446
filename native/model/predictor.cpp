#include "model/predictor.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "core/error.h"

namespace ehrjepa::model {
namespace {

// Far above any decoder's parameter index, so that the predictor's draws do not change with the number of layers.
constexpr std::uint32_t first_stream = 1'000'000;

void require(bool holds, const std::string& rule, std::int64_t found) {
  if (!holds) throw Error("[predictor] " + rule + " but is " + std::to_string(found));
}

}  // namespace

void PredictorOptions::check() const {
  if (kind == PredictorKind::kIdentity) return;
  require(width > 0, "width must be positive", width);
  if (kind == PredictorKind::kMlp) return;
  require(layers > 0, "layers must be positive", layers);
  require(heads > 0, "heads must be positive", heads);
  require(width % 2 == 0, "width must be even, for the sines and cosines of the time,", width);
  require(width % heads == 0, "heads must divide width (" + std::to_string(width) + ")", heads);
}

std::int64_t PredictorOptions::parameter_count(std::int64_t hidden_size) const {
  switch (kind) {
    case PredictorKind::kIdentity:
      return 0;
    case PredictorKind::kMlp:
      return 2 * hidden_size * width + width + hidden_size;
    case PredictorKind::kTransformer: {
      const std::int64_t projection = width * hidden_size + width;
      const std::int64_t query = from_state ? width : projection;
      const std::int64_t time = width * width + width;
      const std::int64_t layer = 12 * width * width + 5 * width + 2 * width;
      return projection + query + time + layers * layer + width + hidden_size * width + hidden_size;
    }
  }
  throw Error("[predictor] unknown kind");
}

at::Tensor MlpPredictor::forward(const at::Tensor& hidden_MD) const {
  return at::linear(at::gelu(at::linear(hidden_MD, fc1_weight, fc1_bias)), fc2_weight, fc2_bias);
}

std::vector<NamedTensor> Predictor::named() const {
  if (const auto* mlp = std::get_if<MlpPredictor>(&network_)) {
    return {{"predictor.fc1.weight", mlp->fc1_weight},
            {"predictor.fc1.bias", mlp->fc1_bias},
            {"predictor.fc2.weight", mlp->fc2_weight},
            {"predictor.fc2.bias", mlp->fc2_bias}};
  }
  if (const auto* transformer = std::get_if<TransformerPredictor>(&network_)) return transformer->named();
  return {};
}

Predictor Predictor::cast(at::ScalarType dtype) const {
  if (const auto* mlp = std::get_if<MlpPredictor>(&network_)) {
    return Predictor(MlpPredictor{mlp->fc1_weight.to(dtype), mlp->fc1_bias.to(dtype), mlp->fc2_weight.to(dtype),
                                  mlp->fc2_bias.to(dtype)});
  }
  if (const auto* transformer = std::get_if<TransformerPredictor>(&network_)) {
    return Predictor(transformer->cast(dtype));
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
  options.check();
  std::uint32_t index = first_stream;
  const auto matrix = [&](std::int64_t out, std::int64_t in) {
    return normal_parameter({out, in}, 1.0 / std::sqrt(static_cast<double>(in)), seed, index++);
  };
  const auto bias = [](std::int64_t size) { return at::zeros({size}, at::kFloat); };
  switch (options.kind) {
    case PredictorKind::kIdentity:
      return {};
    case PredictorKind::kMlp: {
      MlpPredictor mlp;
      mlp.fc1_weight = matrix(options.width, hidden_size);
      mlp.fc1_bias = bias(options.width);
      mlp.fc2_weight = matrix(hidden_size, options.width);
      mlp.fc2_bias = bias(hidden_size);
      return Predictor(std::move(mlp));
    }
    case PredictorKind::kTransformer:
      return Predictor(initialise_transformer_predictor({.hidden_size = hidden_size,
                                                         .width = options.width,
                                                         .layers = options.layers,
                                                         .heads = options.heads,
                                                         .from_state = options.from_state},
                                                        seed, index));
  }
  throw Error("[predictor] unknown kind");
}

}  // namespace ehrjepa::model
