#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <vector>

namespace ehrjepa::solve {

/// Solution of one regression.
struct CoxFit {
  at::Tensor weights_D;  ///< float64: log hazard ratio of a unit of each feature
  int iterations = 0;
  bool converged = false;
};

/// Cox proportional hazards with L2, one fit per penalty, by Newton's method (newton.h):
///
///   min_w  - sum_g [ sum_{i in D_g} v_i w x_i - (V_g / d_g) sum_{k < d_g} log(R_g - k / d_g S_g) ] / sum_i v_i + l2 /
///   2 |w|^2
///
/// over event times g, with the d_g events D_g of that time, their weight V_g, S_g = sum_{i in D_g} v_i exp(w x_i) and
/// R_g the same over everybody whose time is not before g: Efron's partial likelihood (Efron 1977), with case weights
/// as in R's survival. Times count by their order alone. Who is censored at an event's time is still at risk then.
/// @param features_ND  (N, D), any float dtype; standardise first. @param times_N (N), float64. @param events_N (N), 1
///        where the event was seen, 0 where follow-up ended. @param weights_N (N), float64, at least 0; empty for 1
///        each.
/// @param l2  0 fits without a penalty; where events are then separable the fit does not converge.
/// @throws Error when no event has weight, a time is not finite, an event is neither 0 nor 1, or for a bad feature,
/// weight
///         or l2. Cancelled.
std::vector<CoxFit> fit_cox(const at::Tensor& features_ND, const at::Tensor& times_N, const at::Tensor& events_N,
                            const at::Tensor& weights_N, const std::vector<double>& l2,
                            const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::solve
