#pragma once
#include <ATen/core/Tensor.h>

#include "contract/losses.h"

namespace ehrjepa::objective {

/// Target latents: layer norm over features without affine, float32, no gradient. Without it a regression could be won
/// by shrinking the norm of the hidden states (I-JEPA, V-JEPA and data2vec all normalise).
/// @param hidden_MD  (M, D) states of the target encoder; @return (M, D) float32 (float64 for float64 input).
at::Tensor normalise_target(const at::Tensor& hidden_MD);

/// Latent loss, the paper's JEPA term.
/// @param predicted_MD  (M, D), any dtype; @param target_MD (M, D) from `normalise_target`.
/// @param beta          of kSmoothL1, above 0.
/// @return scalar.
at::Tensor latent_loss(const at::Tensor& predicted_MD, const at::Tensor& target_MD,
                       LatentLossKind kind = LatentLossKind::kMse, double beta = 1.0);

}  // namespace ehrjepa::objective
