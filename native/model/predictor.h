#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/parameters.h"

namespace ehrjepa::model {

/// Predictor g of the latent objective, position by position: d -> width -> d with GELU (exact), or the identity, which
/// has no tensors. The shape is that of data2vec's regression head, which fits the paper's reported parameter count
/// (paper notes 1.3).
struct Predictor {
  at::Tensor fc1_weight;  ///< (width, D)
  at::Tensor fc1_bias;    ///< (width)
  at::Tensor fc2_weight;  ///< (D, width)
  at::Tensor fc2_bias;    ///< (D)

  std::vector<NamedTensor> named() const;
  /// @param hidden  (M, D), any dtype; @return (M, D), same dtype.
  at::Tensor forward(const at::Tensor& hidden) const;
};

/// Matrices normal(0, fan_in^-1/2), biases zero.
/// @param width  0 makes the identity.
Predictor initialise_predictor(std::int64_t hidden_size, std::int64_t width, std::uint64_t seed);

}  // namespace ehrjepa::model
