#include "solve/boosting.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "core/error.h"
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
    const bool holds = loss == BoostingLoss::kSquared ? std::isfinite(targets[i]) : targets[i] == 0 || targets[i] == 1;
    check(holds, std::string(name) + (loss == BoostingLoss::kSquared ? " must be finite" : " must be 0 or 1") +
                     " but " + std::to_string(i) + " is " + std::to_string(targets[i]));
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
  const auto [low, high] = std::minmax_element(options.targets.begin(), options.targets.end());
  check(*low != *high, "targets must hold both classes but all are " + std::to_string(*low));
}

double sigmoid(double margin) { return 1 / (1 + std::exp(-margin)); }

double mean_loss(const std::vector<double>& predicted, const std::vector<float>& targets, BoostingLoss loss) {
  double sum = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const double error = predicted[i] - targets[i];
    const double margin = targets[i] == 0 ? predicted[i] : -predicted[i];
    sum += loss == BoostingLoss::kSquared ? error * error / 2
                                          : std::max(margin, 0.0) + std::log1p(std::exp(-std::abs(margin)));
  }
  return sum / static_cast<double>(targets.size());
}

std::vector<Derivatives> derivatives_of(const std::vector<double>& predicted, const std::vector<float>& targets,
                                        BoostingLoss loss) {
  std::vector<Derivatives> result;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const double p = loss == BoostingLoss::kSquared ? predicted[i] : sigmoid(predicted[i]);
    result.push_back({p - targets[i], loss == BoostingLoss::kSquared ? 1 : p * (1 - p)});
  }
  return result;
}

}  // namespace

BoostingResult boost(const BoostingOptions& options, const std::atomic<bool>& cancelled) {
  check_options(options);
  const Bins bins = fit_bins(options.features, options.columns, options.bins);
  const BinnedRows train = bin_rows(bins, options.features);
  const BinnedRows tuning = bin_rows(bins, options.tuning_features);
  const BinnedRows read = bin_rows(bins, options.read_features);
  const double mean = std::accumulate(options.targets.begin(), options.targets.end(), 0.0) /
                      static_cast<double>(options.targets.size());
  const double start = options.loss == BoostingLoss::kSquared ? mean : std::log(mean / (1 - mean));
  std::vector<double> on_train(static_cast<std::size_t>(train.rows()), start);
  std::vector<double> on_tuning(static_cast<std::size_t>(tuning.rows()), start);
  std::vector<double> on_read(static_cast<std::size_t>(read.rows()), start);
  BoostingResult best{on_read, 0};
  const bool stops = tuning.rows() > 0;
  double smallest = stops ? mean_loss(on_tuning, options.tuning_targets, options.loss) : 0;
  for (std::int64_t trees = 1; trees <= options.trees && trees - best.trees <= options.patience; ++trees) {
    if (cancelled) throw Cancelled();
    const std::vector<Derivatives> derivatives = derivatives_of(on_train, options.targets, options.loss);
    const Tree tree = grow_tree(bins, train, derivatives, options, cancelled);
    if (tree.size() == 1) break;
    add_tree(tree, bins, train, on_train);
    add_tree(tree, bins, tuning, on_tuning);
    add_tree(tree, bins, read, on_read);
    const double loss = stops ? mean_loss(on_tuning, options.tuning_targets, options.loss) : 0;
    if (stops && !(loss < smallest)) continue;
    smallest = loss;
    best = {on_read, trees};
  }
  return best;
}

}  // namespace ehrjepa::solve
