#pragma once
#include <ATen/core/Tensor.h>

#include "objective/latent.h"

namespace ehrjepa::objective {

/// How alive a set of latent vectors is. M positions, D features.
struct LatentSpread {
  double standard_deviation;  ///< mean over features of the standard deviation over positions
  double mean_cosine;         ///< mean cosine over all pairs of positions; 1 is a collapsed space
  /// exp(entropy of the normalised eigenvalues of the covariance), Roy & Vetterli 2007; over at most 256 positions,
  /// evenly spaced.
  double effective_rank;
};

/// @param latents_MD  (M, D), M >= 2. With M = 1 the deviation is 0, the cosine 1 and the rank 1.
LatentSpread latent_spread(const at::Tensor& latents_MD);

/// Losses that need no learning: a predictor below both has learnt something about the patient.
struct NullModelLosses {
  double batch_mean;    ///< always the mean target of the batch
  double copy_context;  ///< the target encoder's own state at the last context token of the position's sequence
};

/// @param target_MD        (M, D) normalised targets.
/// @param context_state_MD (M, D) normalised target-encoder state at the last context token of each position's
/// sequence.
/// @param kind, beta       the loss that training uses, so that the three can be compared.
NullModelLosses null_model_losses(const at::Tensor& target_MD, const at::Tensor& context_state_MD,
                                  LatentLossKind kind = LatentLossKind::kMse, double beta = 1.0);

}  // namespace ehrjepa::objective
