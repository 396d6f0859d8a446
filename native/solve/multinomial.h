#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <vector>

namespace ehrjepa::solve {

/// Solution of one regression.
struct MultinomialFit {
  at::Tensor weights_CD1;  ///< (classes, D + 1), float64, the intercepts last; each column sums to 0
  int iterations = 0;
  bool converged = false;
};

/// Multinomial (softmax) logistic regression with L2, one fit per penalty, by Newton's method (newton.h):
///
///   min_W,b  mean_i -log softmax(W x_i + b)[y_i] + l2 / 2 |W|^2
///
/// The mean is weighted by `weights_N`. Symmetric: each class has weights of its own.
/// @param features_ND  (N, D), any float dtype; standardise first. @param labels_N (N), int32, 0 .. classes - 1.
/// @param weights_N    (N), float64, at least 0; empty for 1 each.
/// @throws Error for fewer than two classes, a class without a row of weight, a label that is none, or a bad feature,
///         weight or l2. Cancelled.
std::vector<MultinomialFit> fit_multinomial(const at::Tensor& features_ND, const at::Tensor& labels_N,
                                            std::int64_t classes, const at::Tensor& weights_N,
                                            const std::vector<double>& l2, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::solve
