#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <vector>

namespace ehrjepa::solve {

/// A loss that sees the features through K linear predictors alone, Z = X W, beside E free offsets such as intercepts.
/// Convex and twice differentiable in both.
class LinearLoss {
 public:
  virtual ~LinearLoss() = default;
  /// The loss at a point, and its slopes there.
  virtual double evaluate(const at::Tensor& predictors_NK, const at::Tensor& offsets_E, at::Tensor& slopes_NK,
                          at::Tensor& slopes_E) = 0;
  /// Second derivative along a direction, at the point of the last `evaluate`.
  virtual void curve(const at::Tensor& direction_NK, const at::Tensor& direction_E, at::Tensor& change_NK,
                     at::Tensor& change_E) = 0;
  /// About the second derivative of the loss along one predictor of all rows: it scales a preconditioner, and no
  /// result.
  virtual double usual_curvature() const = 0;
};

struct NewtonFit {
  at::Tensor weights_DK;  ///< float64
  at::Tensor offsets_E;
  int iterations = 0;
  /// The last Newton step was at most 1e-9 of the largest parameter, or of 1; 1e-6 where float64 allows no more.
  bool converged = false;
};

/// One fit per penalty, in the order of `l2`:
///
///   min_W,o  loss(X W, o) + l2 / 2 |W|^2
///
/// by Newton's method. Steps are solved by conjugate gradients, preconditioned by the Gram matrix of the features, so
/// that no Hessian is formed. Fits run from the strongest penalty to the weakest, each started at the one before.
/// @param features_ND    float64; centred features converge sooner. @param row_weights_N positive, sum to 1.
std::vector<NewtonFit> minimise_path(const at::Tensor& features_ND, const at::Tensor& row_weights_N, LinearLoss& loss,
                                     std::int64_t predictors, std::int64_t offsets, const std::vector<double>& l2,
                                     const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::solve
