#include "solve/boosting_loss.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace ehrjepa::solve {
namespace {

double sigmoid(double margin) { return 1 / (1 + std::exp(-margin)); }

double average(const std::vector<float>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

BoostingObjective::BoostingObjective(const std::vector<float>& targets, BoostingLoss loss)
    : targets_(targets), loss_(loss) {
  if (loss != BoostingLoss::kCox) return;
  order_.resize(targets.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  // The sums run in this order: rows of one time stay in theirs, so that it is the same everywhere.
  std::stable_sort(order_.begin(), order_.end(),
                   [&](std::size_t a, std::size_t b) { return std::abs(targets[a]) > std::abs(targets[b]); });
}

double BoostingObjective::start() const {
  switch (loss_) {
    case BoostingLoss::kSquared:
      return average(targets_);
    case BoostingLoss::kLogistic: {
      const double mean = average(targets_);
      return std::log(mean / (1 - mean));
    }
    case BoostingLoss::kCox:
      return 0;
  }
  return 0;
}

bool BoostingObjective::is_measurable() const {
  if (loss_ != BoostingLoss::kCox) return !targets_.empty();
  return std::any_of(targets_.begin(), targets_.end(), [](float target) { return target > 0; });
}

double BoostingObjective::mean(const std::vector<double>& predicted) const {
  if (loss_ == BoostingLoss::kCox) return cox_mean(predicted);
  double sum = 0;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const double error = predicted[i] - targets_[i];
    const double margin = targets_[i] == 0 ? predicted[i] : -predicted[i];
    sum += loss_ == BoostingLoss::kSquared ? error * error / 2
                                           : std::max(margin, 0.0) + std::log1p(std::exp(-std::abs(margin)));
  }
  return sum / static_cast<double>(targets_.size());
}

std::vector<Derivatives> BoostingObjective::derivatives(const std::vector<double>& predicted) const {
  if (loss_ == BoostingLoss::kCox) return cox_derivatives(predicted);
  std::vector<Derivatives> result;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const double p = loss_ == BoostingLoss::kSquared ? predicted[i] : sigmoid(predicted[i]);
    result.push_back({p - targets_[i], loss_ == BoostingLoss::kSquared ? 1 : p * (1 - p)});
  }
  return result;
}

std::vector<double> BoostingObjective::hazards(const std::vector<double>& predicted, double largest) const {
  std::vector<double> result(predicted.size());
  for (std::size_t i = 0; i < predicted.size(); ++i) result[i] = std::exp(predicted[i] - largest);
  return result;
}

template <typename Visit>
void BoostingObjective::for_each_time(const std::vector<double>& hazards, Visit visit) const {
  double at_risk = 0;
  for (std::size_t first = 0; first < order_.size();) {
    const float time = std::abs(targets_[order_[first]]);
    std::size_t last = first;
    std::int64_t events = 0;
    for (; last < order_.size() && std::abs(targets_[order_[last]]) == time; ++last) {
      at_risk += hazards[order_[last]];
      if (targets_[order_[last]] > 0) ++events;
    }
    visit(first, last, at_risk, events);
    first = last;
  }
}

double BoostingObjective::cox_mean(const std::vector<double>& predicted) const {
  const double largest = *std::max_element(predicted.begin(), predicted.end());
  double sum = 0;
  for_each_time(hazards(predicted, largest), [&](std::size_t, std::size_t, double at_risk, std::int64_t events) {
    if (events > 0) sum += static_cast<double>(events) * (std::log(at_risk) + largest);
  });
  for (std::size_t i = 0; i < targets_.size(); ++i)
    if (targets_[i] > 0) sum -= predicted[i];
  return sum / static_cast<double>(targets_.size());
}

std::vector<Derivatives> BoostingObjective::cox_derivatives(const std::vector<double>& predicted) const {
  const double largest = *std::max_element(predicted.begin(), predicted.end());
  const std::vector<double> hazard = hazards(predicted, largest);
  struct Time {
    std::size_t first, last;
    double at_risk;
    std::int64_t events;
  };
  std::vector<Time> times;
  for_each_time(hazard, [&](std::size_t first, std::size_t last, double at_risk, std::int64_t events) {
    times.push_back({first, last, at_risk, events});
  });
  std::vector<Derivatives> result(targets_.size());
  double inverse = 0, squared = 0;
  for (auto time = times.rbegin(); time != times.rend(); ++time) {
    inverse += static_cast<double>(time->events) / time->at_risk;
    squared += static_cast<double>(time->events) / (time->at_risk * time->at_risk);
    for (std::size_t place = time->first; place < time->last; ++place) {
      const std::size_t row = order_[place];
      const double expected = hazard[row] * inverse;
      result[row] = {expected - (targets_[row] > 0 ? 1 : 0),
                     std::max(0.0, expected - hazard[row] * hazard[row] * squared)};
    }
  }
  return result;
}

}  // namespace ehrjepa::solve
