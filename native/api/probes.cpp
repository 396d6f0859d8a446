#include "api/probes.h"

#include <ATen/ops/from_blob.h>

#include <string>

#include "core/error.h"
#include "solve/boosting.h"
#include "solve/cox.h"
#include "solve/hazard.h"
#include "solve/logistic.h"
#include "solve/multinomial.h"
#include "solve/resample.h"
#include "solve/ridge.h"

namespace ehrjepa::api {
namespace {

/// A matrix of rows x columns must fill `found` entries exactly; no product that could overflow.
void check_size(const char* name, std::size_t found, std::int64_t rows, std::int64_t columns) {
  const bool fits = rows >= 0 && columns >= 0 &&
                    (columns == 0 ? found == 0
                                  : found % static_cast<std::size_t>(columns) == 0 &&
                                        found / static_cast<std::size_t>(columns) == static_cast<std::size_t>(rows));
  if (!fits) {
    throw Error(std::string("[probes] ") + name + " must have " + std::to_string(rows) + " x " +
                std::to_string(columns) + " entries but has " + std::to_string(found));
  }
}

template <typename T>
at::Tensor view(const std::vector<T>& values, at::IntArrayRef shape, at::ScalarType dtype) {
  // The tensor is only read; from_blob has no const form.
  return at::from_blob(const_cast<T*>(values.data()), shape, at::TensorOptions().dtype(dtype));
}

/// Features and weights, which every Newton solver has.
template <typename Options>
void check_rows(const Options& options) {
  check_size("features", options.features.size(), options.rows, options.columns);
  if (!options.weights.empty()) check_size("weights", options.weights.size(), options.rows, 1);
}

template <typename Options>
at::Tensor features_of(const Options& options) {
  return view(options.features, {options.rows, options.columns}, at::kFloat);
}

at::Tensor weights_of(const std::vector<double>& weights) {
  return view(weights, {static_cast<std::int64_t>(weights.size())}, at::kDouble);
}

/// The fits of all penalties in one array. @param weights  which member of a fit holds its solution.
template <typename Fit>
NewtonResult gathered(const std::vector<Fit>& fits, at::Tensor Fit::* weights) {
  NewtonResult result;
  for (const Fit& fit : fits) {
    const at::Tensor& solution = fit.*weights;
    const double* const values = solution.template data_ptr<double>();
    result.weights.insert(result.weights.end(), values, values + solution.numel());
    result.iterations.push_back(fit.iterations);
    result.converged.push_back(fit.converged ? 1 : 0);
  }
  return result;
}

}  // namespace

LogisticResult fit_logistic(const LogisticOptions& options, const std::atomic<bool>& cancelled) {
  check_size("features", options.features.size(), options.rows, options.columns);
  check_size("labels", options.labels.size(), options.rows, 1);
  const std::vector<solve::LogisticFit> fits =
      solve::fit_logistic(view(options.features, {options.rows, options.columns}, at::kFloat),
                          view(options.labels, {options.rows}, at::kByte), options.l2, cancelled);
  LogisticResult result;
  for (const solve::LogisticFit& fit : fits) {
    const double* const weights = fit.weights.data_ptr<double>();
    result.weights.insert(result.weights.end(), weights, weights + fit.weights.numel());
    result.iterations.push_back(fit.iterations);
    result.converged.push_back(fit.converged ? 1 : 0);
  }
  return result;
}

RidgeResult fit_ridge(const RidgeOptions& options, const std::atomic<bool>& cancelled) {
  check_size("features", options.features.size(), options.rows, options.columns);
  check_size("targets", options.targets.size(), options.rows, options.outputs);
  const at::Tensor solution =
      solve::fit_ridge(view(options.features, {options.rows, options.columns}, at::kFloat),
                       view(options.targets, {options.rows, options.outputs}, at::kFloat), options.l2, cancelled);
  const double* const values = solution.data_ptr<double>();
  return {{values, values + solution.numel()}};
}

BoostingResult fit_boosting(const BoostingOptions& options, const std::atomic<bool>& cancelled) {
  return solve::boost(options, cancelled);
}

ResampleResult resample(const ResampleOptions& options, const std::atomic<bool>& cancelled) {
  return solve::resample(options, cancelled);
}

NewtonResult fit_multinomial(const MultinomialOptions& options, const std::atomic<bool>& cancelled) {
  check_rows(options);
  check_size("labels", options.labels.size(), options.rows, 1);
  return gathered(solve::fit_multinomial(features_of(options), view(options.labels, {options.rows}, at::kInt),
                                         options.classes, weights_of(options.weights), options.l2, cancelled),
                  &solve::MultinomialFit::weights_CD1);
}

NewtonResult fit_cox(const CoxOptions& options, const std::atomic<bool>& cancelled) {
  check_rows(options);
  check_size("times", options.times.size(), options.rows, 1);
  check_size("events", options.events.size(), options.rows, 1);
  return gathered(solve::fit_cox(features_of(options), view(options.times, {options.rows}, at::kDouble),
                                 view(options.events, {options.rows}, at::kByte), weights_of(options.weights),
                                 options.l2, cancelled),
                  &solve::CoxFit::weights_D);
}

NewtonResult fit_hazard(const HazardOptions& options, const std::atomic<bool>& cancelled) {
  check_rows(options);
  check_size("at_risk", options.at_risk.size(), options.rows, 1);
  check_size("events", options.events.size(), options.rows, 1);
  return gathered(solve::fit_hazard(features_of(options), view(options.at_risk, {options.rows}, at::kInt),
                                    view(options.events, {options.rows}, at::kByte), options.periods,
                                    weights_of(options.weights), options.l2, cancelled),
                  &solve::HazardFit::weights_DP);
}

}  // namespace ehrjepa::api
