#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "contract/model.h"
#include "model/parameters.h"
#include "model/transformer_predictor.h"

namespace ehrjepa::model {

/// @throws Error naming the field that breaks a rule.
void check(const PredictorOptions& options);
/// Scalars of a predictor for states of D features.
std::int64_t parameter_count(const PredictorOptions& options, std::int64_t hidden_size);

/// d -> width -> d with GELU (exact), position by position: data2vec's regression head, which fits the paper's reported
/// parameter count (paper notes 1.3).
struct MlpPredictor {
  at::Tensor fc1_weight;  ///< (width, D)
  at::Tensor fc1_bias;    ///< (width)
  at::Tensor fc2_weight;  ///< (D, width)
  at::Tensor fc2_bias;    ///< (D)

  at::Tensor forward(const at::Tensor& hidden_MD) const;
};

/// Predictor g of the latent objective. A value type: a copy shares the tensors.
class Predictor {
 public:
  /// The identity.
  Predictor() = default;
  explicit Predictor(MlpPredictor mlp) : network_(std::move(mlp)) {}
  explicit Predictor(TransformerPredictor transformer) : network_(std::move(transformer)) {}

  std::vector<NamedTensor> named() const;
  /// The same network in another dtype, or on another device. Differentiable: gradients reach the originals in their
  /// own dtype.
  Predictor cast(const at::TensorOptions& options) const;
  /// @param rows  in the dtype of the parameters. @return (M, D), same dtype.
  /// @throws Error when the rows do not fit: a predictor from the state takes none, every other takes one each.
  at::Tensor forward(const PredictedRows& rows) const;
  /// Whether predictions need nothing but the context's state and the time ahead.
  bool from_state() const;

 private:
  std::variant<std::monostate, MlpPredictor, TransformerPredictor> network_;
};

/// Matrices normal(0, fan_in^-1/2), biases zero, norms one, query token normal(0, 0.02). float32 on the host.
Predictor initialise_predictor(std::int64_t hidden_size, const PredictorOptions& options, std::uint64_t seed);

}  // namespace ehrjepa::model
