#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/parameters.h"

namespace ehrjepa::model {

/// What a predictor reads: M predicted rows, C contexts, D features.
struct PredictedRows {
  at::Tensor branch_MD;     ///< state of the branch row; undefined when predictions start from the context alone
  at::Tensor context_CD;    ///< S(t): state of the last context row
  at::Tensor context_of_M;  ///< int64: which context a row belongs to
  at::Tensor days_M;        ///< days from the last context event to the target, not negative
};

/// Block of a transformer predictor; PyTorch Linear layout (out, in).
struct TransformerPredictorLayer {
  at::Tensor attention_norm;                  ///< (W)
  at::Tensor q_proj, k_proj, v_proj, o_proj;  ///< (W, W)
  at::Tensor mlp_norm;                        ///< (W)
  at::Tensor fc1_weight, fc1_bias;            ///< (4 W, W), (4 W)
  at::Tensor fc2_weight, fc2_bias;            ///< (W, 4 W), (W)
};

/// Narrow transformer of width W, conditioned on the time to the target:
///
///   c = W_c S(t)                     one token per context
///   q = W_b f(branch) + W_t e(days)  one token per predicted row; from the state alone: q = token + W_t e(days)
///   pre-norm blocks: attention (q sees c and itself, c sees itself), then W -> 4 W -> W with GELU
///   z = W_o RMSNorm(q)
///
/// A row sees no other predicted row, so a prediction does not depend on which other rows were drawn.
/// Source: I-JEPA (Assran et al. 2023) and V-JEPA, whose predictors are narrow, start from a mask token and are told
/// the place of their target; there the place is a position, here it is the time (`time_encoding`).
struct TransformerPredictor {
  std::int64_t heads = 1;
  at::Tensor context_weight, context_bias;  ///< (W, D), (W)
  at::Tensor branch_weight, branch_bias;    ///< (W, D), (W); undefined when predictions start from the state
  at::Tensor query_token;                   ///< (W); undefined when they start from a branch row
  at::Tensor time_weight, time_bias;        ///< (W, W), (W)
  std::vector<TransformerPredictorLayer> layers;
  at::Tensor norm;                        ///< (W)
  at::Tensor output_weight, output_bias;  ///< (D, W), (D)

  std::vector<NamedTensor> named() const;
  TransformerPredictor cast(const at::TensorOptions& options) const;
  /// @return (M, D)
  at::Tensor forward(const PredictedRows& rows) const;
};

struct TransformerPredictorShape {
  std::int64_t hidden_size, width, layers, heads;
  bool from_state;
};

/// @param first_stream  parameter number of the first matrix; the others follow.
TransformerPredictor initialise_transformer_predictor(const TransformerPredictorShape& shape, std::uint64_t seed,
                                                      std::uint32_t first_stream);

/// Scalars that `initialise_transformer_predictor` makes.
std::int64_t parameter_count(const TransformerPredictorShape& shape);

/// Sines and cosines of log(1 + days), at width / 2 frequencies whose periods fall geometrically from 22 to 0.5:
/// a century is half a turn of the slowest, and a day more or less is seen at a month (0.4 rad of the fastest).
/// Log-time, because a week matters next to a day and not next to a decade.
/// @param days_M  (M), not negative. @return (M, width) in the dtype of `days_M`.
/// Source: ours; the form is that of Vaswani et al. 2017.
at::Tensor time_encoding(const at::Tensor& days_M, std::int64_t width);

}  // namespace ehrjepa::model
