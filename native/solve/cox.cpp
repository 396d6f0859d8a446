#include "solve/cox.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "solve/inputs.h"
#include "solve/newton.h"
#include "solve/rows.h"

namespace ehrjepa::solve {
namespace {

/// Rows of one time, [begin, end), of which the first `events` had the event.
struct TimeGroup {
  std::int64_t begin, end, events;
  double event_weight;  ///< sum over its events
};

/// Sums over one event time and everybody at risk then; those of exponentials are times exp(-shift).
struct RiskSums {
  double shift = 0;
  double at_risk = 0, dying = 0;    ///< R_g and S_g
  double pull = 0, dying_pull = 0;  ///< sum_k c / D_gk and sum_k (k / d) c / D_gk, where D_gk = R - k / d S, c = V / d
};

/// Mean negative log partial likelihood of rows in descending order of time, events before others of their time.
class PartialLikelihood : public LinearLoss {
 public:
  PartialLikelihood(std::vector<TimeGroup> groups, const at::Tensor& weights_N)
      : groups_(std::move(groups)), sums_(groups_.size()), weights_N_(weights_N) {}

  double evaluate(const at::Tensor& predictors_NK, const at::Tensor& offsets_E, at::Tensor& slopes_NK,
                  at::Tensor& slopes_E) override {
    predictors_NK_ = predictors_NK.contiguous();
    slopes_NK = at::empty_like(predictors_NK_);
    slopes_E = at::zeros_like(offsets_E);
    const double* const score = predictors_NK_.data_ptr<double>();
    const double* const weight = weights_N_.data_ptr<double>();
    double* const slope = slopes_NK.data_ptr<double>();
    double loss = 0;
    RiskSums now;
    now.shift = -INFINITY;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const TimeGroup& group = groups_[g];
      // Everybody at risk so far is scaled by the largest score among them, so that nothing overflows.
      const double highest = *std::max_element(score + group.begin, score + group.end);
      if (highest > now.shift) {
        now.at_risk *= std::exp(now.shift - highest);
        now.shift = highest;
      }
      now.dying = 0;
      for (std::int64_t i = group.begin; i < group.end; ++i) {
        const double risk = weight[i] * std::exp(score[i] - now.shift);
        now.at_risk += risk;
        if (i < group.begin + group.events) {
          now.dying += risk;
          loss -= weight[i] * score[i];
        }
      }
      now.pull = now.dying_pull = 0;
      const auto events = static_cast<double>(group.events);
      for (std::int64_t k = 0; k < group.events; ++k) {
        const double share = static_cast<double>(k) / events;
        const double remaining = now.at_risk - share * now.dying;
        const double each = group.event_weight / events;
        loss += each * (std::log(remaining) + now.shift);
        now.pull += each / remaining;
        now.dying_pull += share * each / remaining;
      }
      sums_[g] = now;
    }
    // From the first time on: what pulls a row is the sum over all event times up to its own.
    double pull = 0, shift = sums_.back().shift;
    for (std::size_t g = groups_.size(); g-- > 0;) {
      const TimeGroup& group = groups_[g];
      const RiskSums& sums = sums_[g];
      pull = pull * std::exp(sums.shift - shift) + sums.pull;
      shift = sums.shift;
      for (std::int64_t i = group.begin; i < group.end; ++i) {
        const bool died = i < group.begin + group.events;
        const double risk = weight[i] * std::exp(score[i] - shift);
        slope[i] = risk * (pull - (died ? sums.dying_pull : 0)) - (died ? weight[i] : 0);
      }
    }
    return loss;
  }

  void curve(const at::Tensor& direction_NK, const at::Tensor& direction_E, at::Tensor& change_NK,
             at::Tensor& change_E) override {
    const at::Tensor along_NK = direction_NK.contiguous();
    change_NK = at::empty_like(along_NK);
    change_E = at::zeros_like(direction_E);
    const double* const score = predictors_NK_.data_ptr<double>();
    const double* const weight = weights_N_.data_ptr<double>();
    const double* const along = along_NK.data_ptr<double>();
    double* const change = change_NK.data_ptr<double>();
    std::vector<double> pull_changes(groups_.size()), dying_changes(groups_.size());
    double at_risk_change = 0, last_shift = sums_.front().shift;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const TimeGroup& group = groups_[g];
      const RiskSums& sums = sums_[g];
      at_risk_change *= std::exp(last_shift - sums.shift);
      last_shift = sums.shift;
      double dying_change = 0;
      for (std::int64_t i = group.begin; i < group.end; ++i) {
        const double moved = weight[i] * std::exp(score[i] - sums.shift) * along[i];
        at_risk_change += moved;
        if (i < group.begin + group.events) dying_change += moved;
      }
      const auto events = static_cast<double>(group.events);
      for (std::int64_t k = 0; k < group.events; ++k) {
        const double share = static_cast<double>(k) / events;
        const double remaining = sums.at_risk - share * sums.dying;
        const double each =
            -group.event_weight / events * (at_risk_change - share * dying_change) / (remaining * remaining);
        pull_changes[g] += each;
        dying_changes[g] += share * each;
      }
    }
    double pull = 0, pull_change = 0, shift = sums_.back().shift;
    for (std::size_t g = groups_.size(); g-- > 0;) {
      const TimeGroup& group = groups_[g];
      const RiskSums& sums = sums_[g];
      const double scale = std::exp(sums.shift - shift);
      pull = pull * scale + sums.pull;
      pull_change = pull_change * scale + pull_changes[g];
      shift = sums.shift;
      for (std::int64_t i = group.begin; i < group.end; ++i) {
        const bool died = i < group.begin + group.events;
        const double risk = weight[i] * std::exp(score[i] - shift);
        change[i] =
            risk * (along[i] * (pull - (died ? sums.dying_pull : 0)) + pull_change - (died ? dying_changes[g] : 0));
      }
    }
  }

  double usual_curvature() const override {
    double events = 0;
    for (const TimeGroup& group : groups_) events += group.event_weight;
    return events;
  }

 private:
  std::vector<TimeGroup> groups_;
  std::vector<RiskSums> sums_;
  at::Tensor weights_N_, predictors_NK_;
};

}  // namespace

std::vector<CoxFit> fit_cox(const at::Tensor& features_ND, const at::Tensor& times_N, const at::Tensor& events_N,
                            const at::Tensor& weights_N, const std::vector<double>& l2,
                            const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  check_penalties("cox", l2, LeastPenalty::zero);
  const WeightedRows rows = weighted_rows("cox", features_ND, weights_N);
  if (!at::isfinite(times_N).all().item<bool>()) throw Error("[cox] times must be finite but hold NaN or an infinity");
  const at::Tensor neither_N = events_N.gt(1);
  if (neither_N.any().item<bool>()) {
    throw Error("[cox] events must be 0 or 1 but hold " +
                std::to_string(events_N.masked_select(neither_N)[0].item<std::int64_t>()));
  }
  const at::Tensor kept_times_N = times_N.index_select(0, rows.kept_N);
  const at::Tensor kept_events_N = events_N.index_select(0, rows.kept_N);
  const double* const time = kept_times_N.data_ptr<double>();
  const std::uint8_t* const event = kept_events_N.data_ptr<std::uint8_t>();
  const double* const weight = rows.weights_N.data_ptr<double>();
  const std::int64_t count = kept_times_N.numel();
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) order[static_cast<std::size_t>(i)] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return time[a] != time[b] ? time[a] > time[b] : event[a] > event[b];
  });
  std::vector<TimeGroup> groups;
  std::int64_t events = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = order[static_cast<std::size_t>(i)];
    if (i == 0 || time[row] != time[order[static_cast<std::size_t>(i - 1)]]) groups.push_back({i, i, 0, 0});
    TimeGroup& group = groups.back();
    group.end = i + 1;
    if (event[row] == 0) continue;
    ++group.events;
    group.event_weight += weight[row];
    ++events;
  }
  if (events == 0) {
    throw Error("[cox] events must hold at least one that counts but hold none in " + std::to_string(count) + " rows");
  }
  const at::Tensor order_N = at::from_blob(order.data(), {count}, at::TensorOptions().dtype(at::kLong));
  const at::Tensor sorted_ND = rows.features_ND.index_select(0, order_N);
  const at::Tensor sorted_weights_N = rows.weights_N.index_select(0, order_N);
  PartialLikelihood loss(std::move(groups), sorted_weights_N);
  std::vector<CoxFit> fits;
  for (const NewtonFit& fit : minimise_path(sorted_ND, sorted_weights_N, loss, 1, 0, l2, cancelled)) {
    fits.push_back({fit.weights_DK.view({-1}), fit.iterations, fit.converged});
  }
  return fits;
}

}  // namespace ehrjepa::solve
