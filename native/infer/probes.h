#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <vector>

namespace ehrjepa::infer {

/// Solution of one logistic probe.
struct LogisticFit {
  at::Tensor weights;  ///< (D + 1), float64, the intercept last
  int iterations = 0;
  bool converged = false;  ///< largest gradient component at most 1e-6; else 500 iterations or the limit of float64
};

/// L2 logistic regression, one fit per penalty:
///
///   min_w,b  mean_i log(1 + exp(-s_i (w x_i + b))) + l2 / 2 |w|^2,   s_i = +-1
///
/// by L-BFGS (memory 10, Armijo-Wolfe line search) in float64. Fits run from the strongest penalty to the weakest, each
/// started at the one before; results are in the order of `l2`.
/// @param features_ND  (N, D), any float dtype; standardise first. @param labels_N (N), 0 or 1.
/// @throws Error when a class is missing, a label is neither 0 nor 1, a feature is not finite, there is no row or
/// column,
///         or an l2 is not positive. Cancelled when the flag was raised.
std::vector<LogisticFit> fit_logistic(const at::Tensor& features_ND, const at::Tensor& labels_N,
                                      const std::vector<double>& l2, const std::atomic<bool>& cancelled);

/// Ridge regression, one fit per penalty and all outputs at once:
///
///   min_w,b  mean_i (w x_i + b - y_i)^2 / 2 + l2 / 2 |w|^2
///
/// by Cholesky, in the dual when there are fewer rows than columns.
/// @param features_ND  (N, D). @param targets_NO  (N, O).
/// @return (penalties, outputs, D + 1), float64, the intercept last.
/// @throws Error when a value is not finite, there is no row or column, or an l2 is not positive. Cancelled.
at::Tensor fit_ridge(const at::Tensor& features_ND, const at::Tensor& targets_NO, const std::vector<double>& l2,
                     const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::infer
