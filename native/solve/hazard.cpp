#include "solve/hazard.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "solve/inputs.h"
#include "solve/newton.h"
#include "solve/rows.h"

namespace ehrjepa::solve {
namespace {

/// Log-loss over the periods of every row.
class PeriodLoss : public LinearLoss {
 public:
  PeriodLoss(const at::Tensor& at_risk_N, const at::Tensor& events_N, const at::Tensor& weights_N)
      : at_risk_N_(at_risk_N), events_N_(events_N), weights_N_(weights_N) {
    curvatures_.resize(static_cast<std::size_t>(at_risk_N.sum().item<std::int64_t>()));
    usual_curvature_ = (weights_N * events_N.to(at::kDouble)).sum().item<double>();
  }

  double evaluate(const at::Tensor& predictors_NK, const at::Tensor& offsets_E, at::Tensor& slopes_NK,
                  at::Tensor& slopes_E) override {
    const at::Tensor scores_NK = predictors_NK.contiguous();
    slopes_NK = at::zeros_like(scores_NK);
    slopes_E = at::zeros_like(offsets_E);
    const double* const score = scores_NK.data_ptr<double>();
    const double* const offset = offsets_E.data_ptr<double>();
    const double* const weight = weights_N_.data_ptr<double>();
    const std::int32_t* const periods = at_risk_N_.data_ptr<std::int32_t>();
    const std::uint8_t* const event = events_N_.data_ptr<std::uint8_t>();
    double* const slope = slopes_NK.data_ptr<double>();
    double* const offset_slope = slopes_E.data_ptr<double>();
    double loss = 0;
    std::size_t place = 0;
    for (std::int64_t i = 0; i < scores_NK.numel(); ++i) {
      for (std::int32_t p = 0; p < periods[i]; ++p) {
        const double margin = offset[p] + score[i];
        const double small = std::exp(-std::abs(margin));
        const double hazard = margin >= 0 ? 1 / (1 + small) : small / (1 + small);
        const double seen = event[i] != 0 && p == periods[i] - 1 ? 1 : 0;
        loss += weight[i] * (std::max(margin, 0.0) + std::log1p(small) - seen * margin);
        const double pull = weight[i] * (hazard - seen);
        slope[i] += pull;
        offset_slope[p] += pull;
        curvatures_[place++] = weight[i] * hazard * (1 - hazard);
      }
    }
    return loss;
  }

  void curve(const at::Tensor& direction_NK, const at::Tensor& direction_E, at::Tensor& change_NK,
             at::Tensor& change_E) override {
    const at::Tensor along_NK = direction_NK.contiguous();
    change_NK = at::zeros_like(along_NK);
    change_E = at::zeros_like(direction_E);
    const double* const along = along_NK.data_ptr<double>();
    const double* const offset_along = direction_E.data_ptr<double>();
    const std::int32_t* const periods = at_risk_N_.data_ptr<std::int32_t>();
    double* const change = change_NK.data_ptr<double>();
    double* const offset_change = change_E.data_ptr<double>();
    std::size_t place = 0;
    for (std::int64_t i = 0; i < along_NK.numel(); ++i) {
      for (std::int32_t p = 0; p < periods[i]; ++p) {
        const double moved = curvatures_[place++] * (along[i] + offset_along[p]);
        change[i] += moved;
        offset_change[p] += moved;
      }
    }
  }

  double usual_curvature() const override { return usual_curvature_; }

 private:
  at::Tensor at_risk_N_, events_N_, weights_N_;
  std::vector<double> curvatures_;  ///< of each period of each row
  double usual_curvature_ = 0;
};

void check_rows(const at::Tensor& at_risk_N, const at::Tensor& events_N, std::int64_t periods) {
  if (periods < 1) throw Error("[hazard] periods must be at least 1 but are " + std::to_string(periods));
  const at::Tensor outside_N = at_risk_N.lt(0).logical_or(at_risk_N.gt(periods));
  if (outside_N.any().item<bool>()) {
    throw Error("[hazard] at_risk must be 0 to " + std::to_string(periods) + " but holds " +
                std::to_string(at_risk_N.masked_select(outside_N)[0].item<std::int64_t>()));
  }
  const at::Tensor neither_N = events_N.gt(1);
  if (neither_N.any().item<bool>()) {
    throw Error("[hazard] events must be 0 or 1 but hold " +
                std::to_string(events_N.masked_select(neither_N)[0].item<std::int64_t>()));
  }
  if (events_N.eq(1).logical_and(at_risk_N.eq(0)).any().item<bool>()) {
    throw Error("[hazard] events must lie in a period but one is of a row that was at risk in none");
  }
}

}  // namespace

std::vector<HazardFit> fit_hazard(const at::Tensor& features_ND, const at::Tensor& at_risk_N,
                                  const at::Tensor& events_N, std::int64_t periods, const at::Tensor& weights_N,
                                  const std::vector<double>& l2, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  check_penalties("hazard", l2);
  const WeightedRows rows = weighted_rows("hazard", features_ND, weights_N);
  check_rows(at_risk_N, events_N, periods);
  const at::Tensor kept_at_risk_N = at_risk_N.index_select(0, rows.kept_N);
  const at::Tensor kept_events_N = events_N.index_select(0, rows.kept_N);
  for (std::int64_t p = 0; p < periods; ++p) {
    const auto at_risk = kept_at_risk_N.gt(p).sum().item<std::int64_t>();
    const auto events = kept_at_risk_N.eq(p + 1).logical_and(kept_events_N.eq(1)).sum().item<std::int64_t>();
    if (events > 0 && events < at_risk) continue;
    // Its intercept would have no finite value.
    throw Error("[hazard] each period must hold an event and a row without one but period " + std::to_string(p) +
                " has " + std::to_string(events) + " events in " + std::to_string(at_risk) + " rows; join periods");
  }
  PeriodLoss loss(kept_at_risk_N, kept_events_N, rows.weights_N);
  std::vector<HazardFit> fits;
  for (const NewtonFit& fit : minimise_path(rows.features_ND, rows.weights_N, loss, 1, periods, l2, cancelled)) {
    const at::Tensor weights_D = fit.weights_DK.view({-1});
    fits.push_back(
        {at::cat({weights_D, fit.offsets_E - rows.mean_D.dot(weights_D)}).contiguous(), fit.iterations, fit.converged});
  }
  return fits;
}

}  // namespace ehrjepa::solve
