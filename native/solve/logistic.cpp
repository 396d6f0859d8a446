#include "solve/logistic.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/sigmoid.h>
#include <c10/core/GradMode.h>

#include <string>

#include "core/error.h"
#include "solve/inputs.h"
#include "solve/newton.h"
#include "solve/rows.h"

namespace ehrjepa::solve {
namespace {

/// Mean log-loss of one predictor and an intercept.
class LogLoss : public LinearLoss {
 public:
  LogLoss(const at::Tensor& labels_N, const at::Tensor& weights_N)
      : signs_N_(labels_N * 2 - 1), weights_N_(weights_N), prior_(weights_N.dot(labels_N).item<double>()) {}

  double evaluate(const at::Tensor& predictors_NK, const at::Tensor& offsets_E, at::Tensor& slopes_NK,
                  at::Tensor& slopes_E) override {
    const at::Tensor margins_N = signs_N_ * (predictors_NK.view({-1}) + offsets_E);
    const at::Tensor wrong_N = at::sigmoid(-margins_N);
    const at::Tensor slopes_N = -signs_N_ * wrong_N * weights_N_;
    curvatures_N_ = wrong_N * (1 - wrong_N) * weights_N_;
    slopes_NK = slopes_N.unsqueeze(1);
    slopes_E = slopes_N.sum().view({1});
    return -at::log_sigmoid(margins_N).dot(weights_N_).item<double>();
  }

  void curve(const at::Tensor& direction_NK, const at::Tensor& direction_E, at::Tensor& change_NK,
             at::Tensor& change_E) override {
    const at::Tensor change_N = curvatures_N_ * (direction_NK.view({-1}) + direction_E);
    change_NK = change_N.unsqueeze(1);
    change_E = change_N.sum().view({1});
  }

  double usual_curvature() const override { return prior_ * (1 - prior_); }

 private:
  at::Tensor signs_N_, weights_N_, curvatures_N_;
  double prior_;
};

}  // namespace

std::vector<LogisticFit> fit_logistic(const at::Tensor& features_ND, const at::Tensor& labels_N,
                                      const std::vector<double>& l2, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  const WeightedRows rows = weighted_rows("logistic", features_ND, {});
  check_penalties("logistic", l2);
  const at::Tensor zero_one_N = labels_N.to(at::kDouble);
  const at::Tensor neither_N = zero_one_N.ne(0).logical_and(zero_one_N.ne(1));
  if (neither_N.any().item<bool>()) {
    throw Error("[logistic] labels must be 0 or 1 but hold " +
                std::to_string(zero_one_N.masked_select(neither_N)[0].item<double>()));
  }
  const double positives = zero_one_N.sum().item<double>();
  if (positives == 0.0 || positives == static_cast<double>(labels_N.size(0))) {
    throw Error("[logistic] labels must hold both classes but hold " + std::to_string(labels_N.size(0)) +
                " of one class");
  }
  LogLoss loss(zero_one_N, rows.weights_N);
  std::vector<LogisticFit> fits;
  for (const NewtonFit& fit : minimise_path(rows.features_ND, rows.weights_N, loss, 1, 1, l2, cancelled)) {
    const at::Tensor weights_D = fit.weights_DK.view({-1});
    fits.push_back(
        {at::cat({weights_D, fit.offsets_E - rows.mean_D.dot(weights_D)}).contiguous(), fit.iterations, fit.converged});
  }
  return fits;
}

}  // namespace ehrjepa::solve
