#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <vector>

namespace ehrjepa::solve {

/// Ridge regression, one fit per penalty and all outputs at once:
///
///   min_w,b  mean_i (w x_i + b - y_i)^2 / 2 + l2 / 2 |w|^2
///
/// by Cholesky, in the dual when there are fewer rows than columns.
/// @param features_ND  (N, D). @param targets_NO  (N, O).
/// @return (penalties, outputs, D + 1), float64, the intercept last.
/// @throws Error when a value is not finite, there is no row or no column, or an l2 is not positive. Cancelled.
at::Tensor fit_ridge(const at::Tensor& features_ND, const at::Tensor& targets_NO, const std::vector<double>& l2,
                     const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::solve
