#include "api/probes.h"

#include <ATen/ops/from_blob.h>

#include <string>

#include "core/error.h"
#include "solve/boosting.h"
#include "solve/logistic.h"
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

}  // namespace ehrjepa::api
