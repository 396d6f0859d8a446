#pragma once
#include <cstdint>
#include <vector>

#include "contract/fields.h"

namespace ehrjepa {

/// L2 logistic regression, one fit a penalty; see solve/logistic.h. Matrices are row-major.
struct LogisticOptions {
  std::vector<float> features;  ///< (rows x columns)
  std::int64_t rows = 0, columns = 0;
  std::vector<std::uint8_t> labels;  ///< (rows), 0 or 1
  std::vector<double> l2;
};
template <>
struct Fields<LogisticOptions> {
  static constexpr auto list =
      std::tuple(field("features", &LogisticOptions::features), field("rows", &LogisticOptions::rows),
                 field("columns", &LogisticOptions::columns), field("labels", &LogisticOptions::labels),
                 field("l2", &LogisticOptions::l2));
};

struct LogisticResult {
  std::vector<double> weights;  ///< (l2 x (columns + 1)), the intercept last
  std::vector<std::int32_t> iterations;
  std::vector<std::uint8_t> converged;
};
template <>
struct Fields<LogisticResult> {
  static constexpr auto list =
      std::tuple(field("weights", &LogisticResult::weights), field("iterations", &LogisticResult::iterations),
                 field("converged", &LogisticResult::converged));
};

/// Ridge regression, one fit a penalty and all outputs at once; see solve/ridge.h.
struct RidgeOptions {
  std::vector<float> features;  ///< (rows x columns)
  std::int64_t rows = 0, columns = 0;
  std::vector<float> targets;  ///< (rows x outputs)
  std::int64_t outputs = 0;
  std::vector<double> l2;
};
template <>
struct Fields<RidgeOptions> {
  static constexpr auto list =
      std::tuple(field("features", &RidgeOptions::features), field("rows", &RidgeOptions::rows),
                 field("columns", &RidgeOptions::columns), field("targets", &RidgeOptions::targets),
                 field("outputs", &RidgeOptions::outputs), field("l2", &RidgeOptions::l2));
};

struct RidgeResult {
  std::vector<double> weights;  ///< (l2 x outputs x (columns + 1)), the intercept last
};
template <>
struct Fields<RidgeResult> {
  static constexpr auto list = std::tuple(field("weights", &RidgeResult::weights));
};

}  // namespace ehrjepa
