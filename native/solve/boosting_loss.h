#pragma once
#include <cstdint>
#include <vector>

#include "contract/boosting.h"
#include "solve/tree.h"

namespace ehrjepa::solve {

/// What boosting makes smaller, of one set of rows.
///
/// kCox is the negative log partial likelihood over the rows (Breslow's ties). A target is the time of the event, or
/// the negated time at which follow-up ended; what is predicted is the logarithm of the hazard but for a constant. With
/// R(t) = sum of e^s over rows followed to t and sums over events k up to a row's own time
///
///   first = e^s sum 1 / R(t_k) - event        second = e^s sum 1 / R(t_k) - e^2s sum 1 / R(t_k)^2
class BoostingObjective {
 public:
  /// @param targets  outlives it.
  BoostingObjective(const std::vector<float>& targets, BoostingLoss loss);
  /// The prediction to start from: the best one that is the same for every row.
  double start() const;
  /// Whether the mean says anything: rows without an event have no partial likelihood.
  bool is_measurable() const;
  double mean(const std::vector<double>& predicted) const;
  std::vector<Derivatives> derivatives(const std::vector<double>& predicted) const;

 private:
  double cox_mean(const std::vector<double>& predicted) const;
  std::vector<Derivatives> cox_derivatives(const std::vector<double>& predicted) const;
  /// e^(s - largest) by row.
  std::vector<double> hazards(const std::vector<double>& predicted, double largest) const;
  /// Calls `visit(first, last, at_risk, events)` for each time, from the last to the first: rows `order_[first..last)`
  /// have it, `at_risk` is the sum over all that are followed to it.
  template <typename Visit>
  void for_each_time(const std::vector<double>& hazards, Visit visit) const;

  const std::vector<float>& targets_;
  BoostingLoss loss_;
  std::vector<std::size_t> order_;  ///< of kCox: rows by descending time
};

}  // namespace ehrjepa::solve
