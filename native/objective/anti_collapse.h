#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

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

}  // namespace ehrjepa::objective
