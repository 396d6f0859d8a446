#include "solve/boosting.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "solve/boosting_loss.h"
#include "solve/tree.h"

namespace ehrjepa::solve {
namespace {

void check(bool holds, const std::string& message) {
  if (!holds) throw Error("[boosting] " + message);
}

void check_features(const char* name, const std::vector<float>& values, std::size_t rows, std::int64_t columns) {
  const auto width = static_cast<std::size_t>(columns);
  check(values.size() % width == 0 && values.size() / width == rows,
        std::string(name) + " must have " + std::to_string(rows) + " x " + std::to_string(columns) +
            " entries but has " + std::to_string(values.size()));
  for (std::size_t i = 0; i < values.size(); ++i)
    check(std::isfinite(values[i]), std::string(name) + " must be finite but " + std::to_string(i) + " is not");
}

void check_targets(const char* name, const std::vector<float>& targets, BoostingLoss loss) {
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const bool is_label = targets[i] == 0 || targets[i] == 1;
    const bool is_time = std::isfinite(targets[i]) && targets[i] != 0;
    const auto refuse = [&](bool holds, const char* rule) {
      check(holds,
            std::string(name) + " must be " + rule + " but " + std::to_string(i) + " is " + std::to_string(targets[i]));
    };
    switch (loss) {
      case BoostingLoss::kLogistic:
        refuse(is_label, "0 or 1");
        break;
      case BoostingLoss::kSquared:
        refuse(std::isfinite(targets[i]), "finite");
        break;
      case BoostingLoss::kCox:
        refuse(is_time, "a time, negated where it is censored,");
        break;
    }
  }
}

void check_options(const BoostingOptions& options) {
  check(options.columns > 0, "columns must be at least 1 but is " + std::to_string(options.columns));
  check(!options.targets.empty(), "there must be at least one row but there is none");
  check(options.learning_rate > 0 && options.learning_rate <= 1, "learning_rate must lie in (0, 1]");
  check(options.l2 >= 0 && std::isfinite(options.l2), "l2 must not be negative");
  check(options.bins >= 2 && options.bins <= 255, "bins must lie between 2 and 255");
  check(options.trees >= 0 && options.patience >= 1 && options.leaves >= 2 && options.leaf_rows >= 1,
        "trees must not be negative, patience and leaf_rows at least 1, leaves at least 2");
  const auto columns = options.columns;
  check_features("features", options.features, options.targets.size(), columns);
  check_features("tuning features", options.tuning_features, options.tuning_targets.size(), columns);
  check_features("read features", options.read_features,
                 options.read_features.size() / static_cast<std::size_t>(columns), columns);
  check_targets("targets", options.targets, options.loss);
  check_targets("tuning targets", options.tuning_targets, options.loss);
  if (options.loss == BoostingLoss::kSquared) return;
  if (options.loss == BoostingLoss::kCox) {
    const bool has_event = std::any_of(options.targets.begin(), options.targets.end(), [](float t) { return t > 0; });
    check(has_event, "targets must hold an event but all are censored");
    return;
  }
  const auto [low, high] = std::minmax_element(options.targets.begin(), options.targets.end());
  check(*low != *high, "targets must hold both classes but all are " + std::to_string(*low));
}

}  // namespace

BoostingResult boost(const BoostingOptions& options, const std::atomic<bool>& cancelled) {
  check_options(options);
  const Bins bins = fit_bins(options.features, options.columns, options.bins);
  const BinnedRows train = bin_rows(bins, options.features);
  const BinnedRows tuning = bin_rows(bins, options.tuning_features);
  const BinnedRows read = bin_rows(bins, options.read_features);
  const BoostingObjective objective(options.targets, options.loss);
  const BoostingObjective on_tuning_rows(options.tuning_targets, options.loss);
  const double start = objective.start();
  std::vector<double> on_train(static_cast<std::size_t>(train.rows()), start);
  std::vector<double> on_tuning(static_cast<std::size_t>(tuning.rows()), start);
  std::vector<double> on_read(static_cast<std::size_t>(read.rows()), start);
  BoostingResult best{on_read, 0};
  const bool stops = on_tuning_rows.is_measurable();
  double smallest = stops ? on_tuning_rows.mean(on_tuning) : 0;
  for (std::int64_t trees = 1; trees <= options.trees && trees - best.trees <= options.patience; ++trees) {
    if (cancelled) throw Cancelled();
    const std::vector<Derivatives> derivatives = objective.derivatives(on_train);
    const Tree tree = grow_tree(bins, train, derivatives, options, cancelled);
    if (tree.size() == 1) break;
    add_tree(tree, bins, train, on_train);
    add_tree(tree, bins, tuning, on_tuning);
    add_tree(tree, bins, read, on_read);
    const double loss = stops ? on_tuning_rows.mean(on_tuning) : 0;
    if (stops && !(loss < smallest)) continue;
    smallest = loss;
    best = {on_read, trees};
  }
  return best;
}

}  // namespace ehrjepa::solve
