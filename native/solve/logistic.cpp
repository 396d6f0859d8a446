#include "solve/logistic.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <string>

#include "core/error.h"
#include "solve/inputs.h"

namespace ehrjepa::solve {
namespace {

constexpr int memory = 10;
constexpr int max_iterations = 500;
constexpr double gradient_tolerance = 1e-6;

/// Value and gradient of the penalised mean log-loss at (w, b).
struct Objective {
  const at::Tensor& features_ND;  // float64
  const at::Tensor& signs_N;      // float64, +-1
  double l2;

  double operator()(const at::Tensor& point, at::Tensor& gradient) const {
    const std::int64_t columns = features_ND.size(1);
    const auto rows = static_cast<double>(features_ND.size(0));
    const at::Tensor w = point.narrow(0, 0, columns);
    const at::Tensor margins_N = signs_N * (features_ND.matmul(w) + point[columns]);
    const double loss = at::softplus(-margins_N).mean().item<double>() + 0.5 * l2 * at::dot(w, w).item<double>();
    const at::Tensor slopes_N = -signs_N * at::sigmoid(-margins_N) / rows;
    gradient = at::cat({features_ND.t().matmul(slopes_N) + w * l2, slopes_N.sum().view({1})});
    return loss;
  }
};

double scalar_product(const at::Tensor& a, const at::Tensor& b) { return at::dot(a, b).item<double>(); }

/// Two-loop recursion: the quasi-Newton direction from the last steps and gradient changes.
at::Tensor descent_direction(const at::Tensor& gradient, const std::deque<at::Tensor>& steps,
                             const std::deque<at::Tensor>& changes) {
  at::Tensor direction = -gradient;
  std::vector<double> alphas(steps.size());
  for (std::size_t k = steps.size(); k-- > 0;) {
    alphas[k] = scalar_product(steps[k], direction) / scalar_product(changes[k], steps[k]);
    direction = direction - changes[k] * alphas[k];
  }
  if (!steps.empty()) {
    direction =
        direction * (scalar_product(steps.back(), changes.back()) / scalar_product(changes.back(), changes.back()));
  }
  for (std::size_t k = 0; k < steps.size(); ++k) {
    const double beta = scalar_product(changes[k], direction) / scalar_product(changes[k], steps[k]);
    direction = direction + steps[k] * (alphas[k] - beta);
  }
  return direction;
}

LogisticFit minimise(const Objective& objective, const at::Tensor& start, const std::atomic<bool>& cancelled) {
  LogisticFit fit{start.clone(), 0, false};
  at::Tensor gradient;
  double value = objective(fit.weights, gradient);
  std::deque<at::Tensor> steps, changes;
  for (; fit.iterations < max_iterations; ++fit.iterations) {
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    if (gradient.abs().max().item<double>() <= gradient_tolerance) {
      fit.converged = true;
      break;
    }
    at::Tensor direction = descent_direction(gradient, steps, changes);
    double slope = scalar_product(gradient, direction);
    if (slope >= 0) {  // lost curvature: start again from steepest descent
      steps.clear();
      changes.clear();
      direction = -gradient;
      slope = scalar_product(gradient, direction);
    }
    // Bisection on the weak Wolfe conditions; the objective is convex and smooth, so it ends.
    double low = 0, high = INFINITY;
    double length = steps.empty() ? std::min(1.0, 1.0 / gradient.abs().sum().item<double>()) : 1.0;
    at::Tensor point, next_gradient;
    double next_value = value;
    for (int trial = 0; trial < 40; ++trial) {
      point = fit.weights + direction * length;
      next_value = objective(point, next_gradient);
      if (next_value > value + 1e-4 * length * slope) {
        high = length;
      } else if (scalar_product(next_gradient, direction) < 0.9 * slope) {
        low = length;
      } else {
        break;
      }
      length = std::isinf(high) ? 2 * low : 0.5 * (low + high);
    }
    if (!(next_value < value)) break;  // no progress left in float64
    const at::Tensor change = next_gradient - gradient;
    const at::Tensor step = point - fit.weights;
    if (scalar_product(change, step) > 1e-16) {
      steps.push_back(step);
      changes.push_back(change);
      if (steps.size() > memory) {
        steps.pop_front();
        changes.pop_front();
      }
    }
    fit.weights = point;
    gradient = next_gradient;
    value = next_value;
  }
  return fit;
}

}  // namespace

std::vector<LogisticFit> fit_logistic(const at::Tensor& features_ND, const at::Tensor& labels_N,
                                      const std::vector<double>& l2, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  const at::Tensor wide_ND = checked_matrix("logistic", "features", features_ND);
  check_penalties("logistic", l2);
  const at::Tensor zero_one_N = labels_N.to(at::kDouble);
  const at::Tensor neither_N = zero_one_N.ne(0).logical_and(zero_one_N.ne(1));
  if (neither_N.any().item<bool>()) {
    throw Error("[logistic] labels must be 0 or 1 but hold " +
                std::to_string(zero_one_N.masked_select(neither_N)[0].item<double>()));
  }
  const at::Tensor signs_N = zero_one_N * 2 - 1;
  const double positives = zero_one_N.sum().item<double>();
  if (positives == 0.0 || positives == static_cast<double>(labels_N.size(0))) {
    throw Error("[logistic] labels must hold both classes but hold " + std::to_string(labels_N.size(0)) +
                " of one class");
  }
  std::vector<std::size_t> order(l2.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return l2[a] > l2[b]; });
  std::vector<LogisticFit> fits(l2.size());
  at::Tensor start = at::zeros({wide_ND.size(1) + 1}, at::kDouble);
  for (const std::size_t index : order) {
    fits[index] = minimise({wide_ND, signs_N, l2[index]}, start, cancelled);
    start = fits[index].weights;
  }
  return fits;
}

}  // namespace ehrjepa::solve
