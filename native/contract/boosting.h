#pragma once
#include <cstdint>
#include <vector>

#include "contract/fields.h"
#include "contract/names.h"

namespace ehrjepa {

enum class BoostingLoss {
  kLogistic,  ///< log-loss of labels 0 or 1; what is predicted is the log-odds
  kSquared,   ///< half the squared error
  kCox,       ///< negative log partial likelihood of times, negated where censored; the log-hazard is predicted
};
template <>
struct Names<BoostingLoss> {
  static constexpr Named<BoostingLoss> table[] = {
      {"logistic", BoostingLoss::kLogistic}, {"squared", BoostingLoss::kSquared}, {"cox", BoostingLoss::kCox}};
};

/// Boosted trees, fitted on some rows, stopped by others and read on a third set; see solve/boosting.h. Row-major.
struct BoostingOptions {
  std::int64_t columns = 0;
  std::vector<float> features;  ///< (targets x columns)
  std::vector<float> targets;
  std::vector<float> tuning_features;  ///< (tuning targets x columns); none: all trees are kept
  std::vector<float> tuning_targets;
  std::vector<float> read_features;  ///< (rows x columns)
  BoostingLoss loss = BoostingLoss::kLogistic;
  double learning_rate = 0.1;
  std::int64_t trees = 300;     ///< at most
  std::int64_t patience = 20;   ///< trees without a better loss on tuning after which it stops
  std::int64_t leaves = 31;     ///< of a tree, at most
  std::int64_t leaf_rows = 20;  ///< at least
  double l2 = 1.0;              ///< on the value of a leaf
  std::int64_t bins = 63;       ///< of a column, at most; from 2 to 255
};
template <>
struct Fields<BoostingOptions> {
  static constexpr auto list = std::tuple(
      field("columns", &BoostingOptions::columns), field("features", &BoostingOptions::features),
      field("targets", &BoostingOptions::targets), field("tuning_features", &BoostingOptions::tuning_features),
      field("tuning_targets", &BoostingOptions::tuning_targets),
      field("read_features", &BoostingOptions::read_features), field("loss", &BoostingOptions::loss),
      field("learning_rate", &BoostingOptions::learning_rate), field("trees", &BoostingOptions::trees),
      field("patience", &BoostingOptions::patience), field("leaves", &BoostingOptions::leaves),
      field("leaf_rows", &BoostingOptions::leaf_rows), field("l2", &BoostingOptions::l2),
      field("bins", &BoostingOptions::bins));
};

struct BoostingResult {
  std::vector<double> predicted;  ///< (rows), log-odds or the target's own unit
  std::int64_t trees = 0;         ///< that were kept
};
template <>
struct Fields<BoostingResult> {
  static constexpr auto list =
      std::tuple(field("predicted", &BoostingResult::predicted), field("trees", &BoostingResult::trees));
};

}  // namespace ehrjepa
