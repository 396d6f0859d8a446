#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "contract/losses.h"

namespace ehrjepa::objective {

/// VICReg's variance term: mean over features of max(0, 1 - sqrt(var + 1e-4)). Needs M >= 2, else 0.
/// Source: Bardes et al. 2022, equations 1 and 2.
at::Tensor variance_hinge(const at::Tensor& latents_MD);

/// VICReg's covariance term: sum of squared off-diagonal covariances over D. Needs M >= 2, else 0.
/// Source: Bardes et al. 2022, equations 3 and 4.
at::Tensor covariance_penalty(const at::Tensor& latents_MD);

/// SIGReg: distance of the latents' distribution from an isotropic Gaussian, along random directions: the mean over
/// `directions` of the Epps-Pulley statistic, integrated over 17 points of [-4, 4]. Needs M >= 2, else 0.
/// @param seed, step  the directions are drawn from them.
/// Source: LeJEPA, Balestriero & LeCun 2025, section 4.
at::Tensor sigreg(const at::Tensor& latents_MD, std::int64_t directions, std::uint64_t seed, std::uint32_t step);

/// What a term may read: predictions (M, D), with gradient, and what its random draws come from.
struct Predictions {
  const at::Tensor& latents_MD;
  std::uint64_t seed;
  std::uint32_t step;
};

/// A term that keeps predictions from becoming all alike: a scalar that is added to the latent loss with its weight.
struct AntiCollapseTerm {
  std::string_view name;  ///< in `LatentOptions::anti_collapse`
  at::Tensor (*value)(const Predictions& predictions);
};

/// Every term there is. A new one is its file, its row here, and its option in lib/objective/latent.ts.
inline constexpr AntiCollapseTerm anti_collapse_terms[] = {
    {"variance", [](const Predictions& p) { return variance_hinge(p.latents_MD); }},
    {"covariance", [](const Predictions& p) { return covariance_penalty(p.latents_MD); }},
    {"sigreg", [](const Predictions& p) { return sigreg(p.latents_MD, 256, p.seed, p.step); }},
};

/// Whether a term's weight is above 0.
bool has_anti_collapse(const NamedNumbers& weights);

/// Weighted sum of the terms whose weight is above 0, in the order of the table; undefined when there is none.
/// @throws Error for a name that is not in the table, or a weight below 0.
at::Tensor anti_collapse(const NamedNumbers& weights, const Predictions& predictions);

}  // namespace ehrjepa::objective
