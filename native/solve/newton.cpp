#include "solve/newton.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cholesky_solve.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "core/error.h"

namespace ehrjepa::solve {
namespace {

constexpr int max_iterations = 200;
constexpr int max_inner_iterations = 2000;
constexpr double step_tolerance = 1e-9;
constexpr double stalled_tolerance = 1e-6;
constexpr double flat_share = 1e-9;
// Above it a factor of the Gram matrix costs more than it saves.
constexpr std::int64_t largest_gram = 1536;

/// Weights and offsets, or a direction of both.
struct Point {
  at::Tensor weights_DK, offsets_E;

  Point plus(const Point& other, double factor) const {
    return {weights_DK + other.weights_DK * factor, offsets_E + other.offsets_E * factor};
  }
  Point times(double factor) const { return {weights_DK * factor, offsets_E * factor}; }
  double dot(const Point& other) const {
    return ((weights_DK * other.weights_DK).sum() + (offsets_E * other.offsets_E).sum()).item<double>();
  }
  double largest() const {
    const double w = weights_DK.abs().max().item<double>();
    return offsets_E.numel() == 0 ? w : std::max(w, offsets_E.abs().max().item<double>());
  }
};

class Problem {
 public:
  Problem(const at::Tensor& features_ND, const std::optional<at::Tensor>& gram_DD, LinearLoss& loss, double l2)
      : features_ND_(features_ND), loss_(loss), l2_(l2), curvature_(loss.usual_curvature()) {
    if (!gram_DD) return;
    const std::int64_t columns = gram_DD->size(0);
    // The last term keeps a factor of columns that are constant or say the same, without a penalty as well.
    const double least = 1e-10 * curvature_ * gram_DD->trace().item<double>() / static_cast<double>(columns);
    const double diagonal = l2 + std::max(least, 1e-300);
    const at::Tensor identity = at::eye(columns, gram_DD->options());
    factor_DD_ = at::linalg_cholesky(*gram_DD * curvature_ + identity * (diagonal > 1e-290 ? diagonal : 1.0));
  }

  double evaluate(const Point& point, Point& gradient) {
    at::Tensor slopes_NK;
    const double value =
        loss_.evaluate(features_ND_.matmul(point.weights_DK), point.offsets_E, slopes_NK, gradient.offsets_E);
    gradient.weights_DK = features_ND_.t().matmul(slopes_NK) + point.weights_DK * l2_;
    return value + 0.5 * l2_ * point.weights_DK.square().sum().item<double>();
  }

  Point hessian_times(const Point& direction) {
    Point result;
    at::Tensor change_NK;
    loss_.curve(features_ND_.matmul(direction.weights_DK), direction.offsets_E, change_NK, result.offsets_E);
    result.weights_DK = features_ND_.t().matmul(change_NK) + direction.weights_DK * l2_;
    return result;
  }

  /// Without a penalty: whether the loss is flat along the weights themselves, as where they run away to infinity.
  /// There the gradient vanishes as well, and says nothing.
  bool runs_away(const Point& point) {
    if (l2_ > 0) return false;
    const double spread = features_ND_.matmul(point.weights_DK).square().mean().item<double>();
    return spread > 0 && point.dot(hessian_times(point)) < flat_share * curvature_ * spread;
  }

  Point precondition(const Point& gradient) const {
    return {
        factor_DD_ ? at::cholesky_solve(gradient.weights_DK, *factor_DD_) : gradient.weights_DK / (curvature_ + l2_),
        gradient.offsets_E / curvature_};
  }

 private:
  const at::Tensor& features_ND_;
  LinearLoss& loss_;
  double l2_, curvature_;
  std::optional<at::Tensor> factor_DD_;
};

/// The Newton step, by conjugate gradients to a residual of `tolerance` of the gradient's.
Point newton_step(Problem& problem, const Point& gradient, double tolerance, const std::atomic<bool>& cancelled) {
  Point step = gradient.times(0.0);
  Point residual = gradient.times(-1.0);
  Point scaled = problem.precondition(residual);
  Point direction = scaled;
  double size = residual.dot(scaled);
  const double enough = tolerance * tolerance * size;
  for (int i = 0; i < max_inner_iterations && size > enough && size > 0; ++i) {
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    const Point curved = problem.hessian_times(direction);
    const double curvature = direction.dot(curved);
    // A direction that is flat as far as float64 can tell, such as that of all intercepts of a softmax.
    if (!(curvature > 1e-300)) break;
    const double length = size / curvature;
    step = step.plus(direction, length);
    residual = residual.plus(curved, -length);
    scaled = problem.precondition(residual);
    const double next = residual.dot(scaled);
    direction = scaled.plus(direction, next / size);
    size = next;
  }
  return step;
}

NewtonFit minimise(Problem& problem, Point point, const std::atomic<bool>& cancelled) {
  NewtonFit fit;
  Point gradient;
  double value = problem.evaluate(point, gradient);
  const double first = std::sqrt(gradient.dot(gradient));
  for (; fit.iterations < max_iterations && !fit.converged; ++fit.iterations) {
    const double steepness = std::sqrt(gradient.dot(gradient));
    if (steepness == 0) {
      fit.converged = true;
      break;
    }
    const double tolerance = std::clamp(std::sqrt(steepness / std::max(first, 1e-300)), 1e-6, 0.1);
    const Point step = newton_step(problem, gradient, tolerance, cancelled);
    const double slope = gradient.dot(step);
    const double share = step.largest() / std::max(1.0, point.largest());
    double length = 1;
    bool accepted = false;
    for (int trial = 0; trial < 60 && slope < 0 && !accepted; ++trial, length *= 0.5) {
      const Point next = point.plus(step, length);
      Point next_gradient;
      const double next_value = problem.evaluate(next, next_gradient);
      // Beside the usual decrease: where values no longer tell points apart, slopes of a convex function do.
      const bool falls = next_value <= value + 1e-4 * length * slope;
      const bool flat = next_value <= value + 1e-13 * std::abs(value) && std::abs(next_gradient.dot(step)) < -slope;
      if (!std::isfinite(next_value) || (!falls && !flat)) continue;
      accepted = true;
      point = next;
      gradient = next_gradient;
      value = next_value;
      // Whatever part of it was taken: a whole step that is so small is rounding, and may never be taken whole.
      fit.converged = share <= step_tolerance;
    }
    if (!accepted) {
      // Not the gradient alone: without a penalty it also vanishes where weights run away.
      fit.converged = share <= stalled_tolerance;
      break;
    }
  }
  fit.converged = fit.converged && !problem.runs_away(point);
  fit.weights_DK = point.weights_DK;
  fit.offsets_E = point.offsets_E;
  return fit;
}

}  // namespace

std::vector<NewtonFit> minimise_path(const at::Tensor& features_ND, const at::Tensor& row_weights_N, LinearLoss& loss,
                                     std::int64_t predictors, std::int64_t offsets, const std::vector<double>& l2,
                                     const std::atomic<bool>& cancelled) {
  const std::int64_t columns = features_ND.size(1);
  std::optional<at::Tensor> gram_DD;
  if (columns <= largest_gram) gram_DD = features_ND.t().matmul(features_ND * row_weights_N.unsqueeze(1));
  std::vector<std::size_t> order(l2.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return l2[a] > l2[b]; });
  std::vector<NewtonFit> fits(l2.size());
  Point start{at::zeros({columns, predictors}, at::kDouble), at::zeros({offsets}, at::kDouble)};
  for (const std::size_t index : order) {
    Problem problem(features_ND, gram_DD, loss, l2[index]);
    fits[index] = minimise(problem, start, cancelled);
    start = {fits[index].weights_DK, fits[index].offsets_E};
  }
  return fits;
}

}  // namespace ehrjepa::solve
