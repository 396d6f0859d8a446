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

/// Multinomial logistic regression with L2, one fit a penalty; see solve/multinomial.h.
struct MultinomialOptions {
  std::vector<float> features;  ///< (rows x columns)
  std::int64_t rows = 0, columns = 0;
  std::vector<std::int32_t> labels;  ///< (rows), 0 .. classes - 1
  std::int64_t classes = 0;
  std::vector<double> weights;  ///< (rows), at least 0; empty for 1 each
  std::vector<double> l2;
};
template <>
struct Fields<MultinomialOptions> {
  static constexpr auto list =
      std::tuple(field("features", &MultinomialOptions::features), field("rows", &MultinomialOptions::rows),
                 field("columns", &MultinomialOptions::columns), field("labels", &MultinomialOptions::labels),
                 field("classes", &MultinomialOptions::classes), field("weights", &MultinomialOptions::weights),
                 field("l2", &MultinomialOptions::l2));
};

/// Cox regression with Efron's ties and L2, one fit a penalty; see solve/cox.h.
struct CoxOptions {
  std::vector<float> features;  ///< (rows x columns)
  std::int64_t rows = 0, columns = 0;
  std::vector<double> times;         ///< (rows)
  std::vector<std::uint8_t> events;  ///< (rows), 0 where follow-up ended
  std::vector<double> weights;       ///< (rows), at least 0; empty for 1 each
  std::vector<double> l2;            ///< 0 fits without a penalty
};
template <>
struct Fields<CoxOptions> {
  static constexpr auto list = std::tuple(field("features", &CoxOptions::features), field("rows", &CoxOptions::rows),
                                          field("columns", &CoxOptions::columns), field("times", &CoxOptions::times),
                                          field("events", &CoxOptions::events), field("weights", &CoxOptions::weights),
                                          field("l2", &CoxOptions::l2));
};

/// Discrete-time hazards with L2, one fit a penalty; see solve/hazard.h.
struct HazardOptions {
  std::vector<float> features;  ///< (rows x columns)
  std::int64_t rows = 0, columns = 0;
  std::vector<std::int32_t> at_risk;  ///< (rows), periods through which each was seen
  std::vector<std::uint8_t> events;   ///< (rows), 1 where the event came in the last of them
  std::int64_t periods = 0;
  std::vector<double> weights;  ///< (rows), at least 0; empty for 1 each
  std::vector<double> l2;
};
template <>
struct Fields<HazardOptions> {
  static constexpr auto list =
      std::tuple(field("features", &HazardOptions::features), field("rows", &HazardOptions::rows),
                 field("columns", &HazardOptions::columns), field("at_risk", &HazardOptions::at_risk),
                 field("events", &HazardOptions::events), field("periods", &HazardOptions::periods),
                 field("weights", &HazardOptions::weights), field("l2", &HazardOptions::l2));
};

/// Of each of the three, for each penalty.
struct NewtonResult {
  /// (l2 x classes x (columns + 1)) with the intercept last; (l2 x columns); (l2 x (columns + periods)) with those of
  /// the periods last.
  std::vector<double> weights;
  std::vector<std::int32_t> iterations;
  std::vector<std::uint8_t> converged;
};
template <>
struct Fields<NewtonResult> {
  static constexpr auto list =
      std::tuple(field("weights", &NewtonResult::weights), field("iterations", &NewtonResult::iterations),
                 field("converged", &NewtonResult::converged));
};

}  // namespace ehrjepa
