#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

namespace ehrjepa::api {

/// Features are (rows, columns) row-major. See solve/logistic.h and solve/ridge.h for the equations.
struct LogisticOptions {
  std::vector<float> features;
  std::int64_t rows, columns;
  std::vector<std::uint8_t> labels;
  std::vector<double> l2;
};
struct LogisticResult {
  std::vector<double> weights;  ///< (l2, columns + 1), the intercept last
  std::vector<std::int32_t> iterations;
  std::vector<std::uint8_t> converged;
};
LogisticResult fit_logistic(const LogisticOptions& options, const std::atomic<bool>& cancelled);

struct RidgeOptions {
  std::vector<float> features;
  std::int64_t rows, columns;
  std::vector<float> targets;  ///< (rows, outputs) row-major
  std::int64_t outputs;
  std::vector<double> l2;
};
/// @return (l2, outputs, columns + 1), the intercept last.
std::vector<double> fit_ridge(const RidgeOptions& options, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::api
