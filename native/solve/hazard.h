#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <vector>

namespace ehrjepa::solve {

/// Solution of one regression.
struct HazardFit {
  at::Tensor weights_DP;  ///< (D + periods), float64, the intercepts of the periods last
  int iterations = 0;
  bool converged = false;
};

/// Discrete-time hazards with L2, one fit per penalty, by Newton's method (newton.h): a logistic regression of the
/// event in each period that a row is at risk, with an intercept for each period and weights that all share:
///
///   min_w,a  sum_i v_i sum_{p < periods_i} log(1 + exp(-s_ip (a_p + w x_i))) / sum_i v_i + l2 / 2 |w|^2
///
/// where s_ip is 1 in the last period of a row with the event, else -1 (Singer & Willett 1993).
/// @param features_ND  (N, D), any float dtype; standardise first. @param at_risk_N (N), int32, periods through which a
///        row was seen, 0 .. periods. @param events_N (N), 1 where the event came in the last of them.
/// @param weights_N    (N), float64, at least 0; empty for 1 each.
/// @throws Error when a period has no event or nothing but events, an event has no period, or for a bad feature,
/// number,
///         weight or l2. Cancelled.
std::vector<HazardFit> fit_hazard(const at::Tensor& features_ND, const at::Tensor& at_risk_N,
                                  const at::Tensor& events_N, std::int64_t periods, const at::Tensor& weights_N,
                                  const std::vector<double>& l2, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::solve
