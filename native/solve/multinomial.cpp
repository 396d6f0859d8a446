#include "solve/multinomial.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/one_hot.h>
#include <c10/core/GradMode.h>

#include <string>

#include "core/error.h"
#include "solve/inputs.h"
#include "solve/newton.h"
#include "solve/rows.h"

namespace ehrjepa::solve {
namespace {

/// Mean cross-entropy of a softmax over K predictors with an offset each.
class SoftmaxLoss : public LinearLoss {
 public:
  SoftmaxLoss(const at::Tensor& labels_N, std::int64_t classes, const at::Tensor& weights_N)
      : truth_NK_(at::one_hot(labels_N, classes).to(at::kDouble)),
        weights_N1_(weights_N.unsqueeze(1)),
        classes_(static_cast<double>(classes)) {}

  double evaluate(const at::Tensor& predictors_NK, const at::Tensor& offsets_E, at::Tensor& slopes_NK,
                  at::Tensor& slopes_E) override {
    const at::Tensor logs_NK = at::log_softmax(predictors_NK + offsets_E, 1);
    probabilities_NK_ = logs_NK.exp();
    slopes_NK = over_classes_zero((probabilities_NK_ - truth_NK_) * weights_N1_);
    slopes_E = over_classes_zero(slopes_NK.sum(0));
    return -(truth_NK_ * logs_NK * weights_N1_).sum().item<double>();
  }

  void curve(const at::Tensor& direction_NK, const at::Tensor& direction_E, at::Tensor& change_NK,
             at::Tensor& change_E) override {
    const at::Tensor along_NK = direction_NK + direction_E;
    const at::Tensor mean_N1 = (probabilities_NK_ * along_NK).sum(1, true);
    change_NK = over_classes_zero(probabilities_NK_ * (along_NK - mean_N1) * weights_N1_);
    change_E = over_classes_zero(change_NK.sum(0));
  }

  double usual_curvature() const override { return (1 - 1 / classes_) / classes_; }

 private:
  /// Slopes add up to 0 over the classes but for rounding, and the loss is flat along what is added to all of them:
  /// near the solution, where slopes are as small as that rounding, a step would run off along it and never be small.
  static at::Tensor over_classes_zero(const at::Tensor& slopes) { return slopes - slopes.mean(-1, true); }

  at::Tensor truth_NK_, weights_N1_, probabilities_NK_;
  double classes_;
};

}  // namespace

std::vector<MultinomialFit> fit_multinomial(const at::Tensor& features_ND, const at::Tensor& labels_N,
                                            std::int64_t classes, const at::Tensor& weights_N,
                                            const std::vector<double>& l2, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  check_penalties("multinomial", l2);
  const WeightedRows rows = weighted_rows("multinomial", features_ND, weights_N);
  if (classes < 2) {
    throw Error("[multinomial] classes must be at least 2 but are " + std::to_string(classes));
  }
  const at::Tensor outside_N = labels_N.lt(0).logical_or(labels_N.ge(classes));
  if (outside_N.any().item<bool>()) {
    throw Error("[multinomial] labels must be 0 to " + std::to_string(classes - 1) + " but hold " +
                std::to_string(labels_N.masked_select(outside_N)[0].item<std::int64_t>()));
  }
  const at::Tensor kept_N = labels_N.to(at::kLong).index_select(0, rows.kept_N);
  const at::Tensor empty_E = at::bincount(kept_N, {}, classes).eq(0).nonzero();
  if (empty_E.numel() > 0) {
    throw Error("[multinomial] labels must hold every class but hold none of class " +
                std::to_string(empty_E[0].item<std::int64_t>()));
  }
  SoftmaxLoss loss(kept_N, classes, rows.weights_N);
  std::vector<MultinomialFit> fits;
  for (const NewtonFit& fit : minimise_path(rows.features_ND, rows.weights_N, loss, classes, classes, l2, cancelled)) {
    const at::Tensor offsets_E = fit.offsets_E - rows.mean_D.matmul(fit.weights_DK);
    // Adding a constant to every intercept changes nothing.
    const at::Tensor centred_E = offsets_E - offsets_E.mean();
    fits.push_back(
        {at::cat({fit.weights_DK.t(), centred_E.unsqueeze(1)}, 1).contiguous(), fit.iterations, fit.converged});
  }
  return fits;
}

}  // namespace ehrjepa::solve
