#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <vector>

namespace ehrjepa::solve {

/// Solution of one logistic regression.
struct LogisticFit {
  at::Tensor weights;  ///< (D + 1), float64, the intercept last
  int iterations = 0;
  bool converged = false;  ///< as in `NewtonFit`
};

/// L2 logistic regression, one fit per penalty:
///
///   min_w,b  mean_i log(1 + exp(-s_i (w x_i + b))) + l2 / 2 |w|^2,   s_i = +-1
///
/// by Newton's method in float64, as `minimise_path` does it. Fits run from the strongest penalty to the weakest, each
/// started at the one before; results are in the order of `l2`.
/// @param features_ND  (N, D), any float dtype. @param labels_N (N), 0 or 1.
/// @throws Error when a class is missing, a label is neither 0 nor 1, a feature is not finite, there is no row or no
///         column, or an l2 is not positive. Cancelled when the flag was raised.
std::vector<LogisticFit> fit_logistic(const at::Tensor& features_ND, const at::Tensor& labels_N,
                                      const std::vector<double>& l2, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::solve
