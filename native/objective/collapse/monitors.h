#pragma once
#include <ATen/core/Tensor.h>

#include <string_view>
#include <vector>

#include "contract/losses.h"

namespace ehrjepa::objective {

/// Mean over features of the standard deviation over positions, (); 0 for one position.
/// @param latents_MD  (M, D) float64, as below.
at::Tensor standard_deviation(const at::Tensor& latents_MD);

/// Mean cosine over all pairs of positions, (); 1 is a collapsed space, and the value for one position.
at::Tensor mean_cosine(const at::Tensor& latents_MD);

/// Inner products of at most 256 positions, evenly spaced and centred, or of their features where those are fewer: what
/// the eigenvalues of the covariance are worked out from.
at::Tensor gram_matrix(const at::Tensor& latents_MD);
/// exp(entropy of the normalised eigenvalues of the covariance); 1 for one position.
/// @param gram  of `gram_matrix`, on the host: eigenvalues would hold up any other device.
/// Source: Roy & Vetterli 2007.
double effective_rank(const at::Tensor& gram);

/// What a monitor may read. M predicted positions, D features; no gradients.
struct LatentReading {
  at::Tensor prediction_MD;     ///< float64
  at::Tensor target_MD;         ///< float64
  at::Tensor loss_target_MD;    ///< the targets as the loss saw them
  at::Tensor context_state_MD;  ///< state, as a target is, of the last context token before each position
  LatentLossKind loss;          ///< what training uses, so that the losses can be compared
  double beta;
  at::Tensor target_encoder_distance;  ///< (), |target encoder - encoder| / |encoder| over their weights
};

/// Loss of a predictor that needs no learning: always the mean target of the batch. One below it has learnt something
/// about the patient.
at::Tensor batch_mean_loss(const LatentReading& reading);
/// The same of one that predicts no change: the state at the end of the context.
at::Tensor copy_context_loss(const LatentReading& reading);

/// A number that tells a living latent space from a collapsed one. It is measured where the model computes and read
/// with all other numbers of the step, because each reading by itself would wait for the device.
struct CollapseMonitor {
  std::string_view name;  ///< in `Losses::collapse`
  at::Tensor (*measure)(const LatentReading& reading);
  /// The number itself, from what was measured: float64 on the host. Absent: that is the number.
  double (*value)(const at::Tensor& measured) = nullptr;
};

/// Every monitor there is. A new one is its function, its row here, and its row in lib/objective/collapse-monitors.ts.
inline constexpr CollapseMonitor collapse_monitors[] = {
    {"prediction_std", [](const LatentReading& r) { return standard_deviation(r.prediction_MD); }},
    {"target_std", [](const LatentReading& r) { return standard_deviation(r.target_MD); }},
    {"prediction_cosine", [](const LatentReading& r) { return mean_cosine(r.prediction_MD); }},
    {"target_cosine", [](const LatentReading& r) { return mean_cosine(r.target_MD); }},
    {"prediction_effective_rank", [](const LatentReading& r) { return gram_matrix(r.prediction_MD); }, effective_rank},
    {"target_effective_rank", [](const LatentReading& r) { return gram_matrix(r.target_MD); }, effective_rank},
    {"batch_mean_loss", batch_mean_loss},
    {"copy_context_loss", copy_context_loss},
    {"target_encoder_distance", [](const LatentReading& r) { return r.target_encoder_distance; }},
};

/// Measures all of them, in the order of the table.
std::vector<at::Tensor> measure_collapse(const LatentReading& reading);
/// Their numbers. @param measured  float64 on the host.
NamedNumbers collapse_numbers(const std::vector<at::Tensor>& measured);

}  // namespace ehrjepa::objective
