#include <ATen/ATen.h>

#include <atomic>
#include <cmath>
#include <vector>

#include "api/probes.h"
#include "native/check.h"
#include "solve/logistic.h"
#include "solve/ridge.h"

namespace solve_test {
namespace {

using ehrjepa::solve::fit_logistic;
using ehrjepa::solve::fit_ridge;
using ehrjepa::solve::LogisticFit;

const std::atomic<bool> running{false};

/// Largest component of the gradient of the penalised mean log-loss, written out anew.
double logistic_gradient(const at::Tensor& features_ND, const at::Tensor& labels_N, const at::Tensor& weights,
                         double l2) {
  const std::int64_t columns = features_ND.size(1);
  const at::Tensor x = at::cat({features_ND.to(at::kDouble), at::ones({features_ND.size(0), 1}, at::kDouble)}, 1);
  const at::Tensor residual_N = at::sigmoid(x.matmul(weights)) - labels_N.to(at::kDouble);
  at::Tensor penalty = weights * l2;
  penalty[columns] = 0;
  return (x.t().matmul(residual_N) / static_cast<double>(x.size(0)) + penalty).abs().max().item<double>();
}

struct Problem {
  at::Tensor features_ND, labels_N;
};
Problem noisy_problem(std::int64_t rows, std::int64_t columns) {
  at::manual_seed(5);
  const at::Tensor features_ND = at::randn({rows, columns});
  const at::Tensor margins_N = features_ND.matmul(at::randn({columns})) / std::sqrt(static_cast<double>(columns)) - 0.7;
  return {features_ND, (at::rand({rows}) < at::sigmoid(margins_N)).to(at::kByte)};
}

TEST("logistic: the gradient vanishes at every penalty, in the order given") {
  const Problem p = noisy_problem(400, 30);
  const std::vector<double> l2 = {1e-3, 10, 1e-4, 0.1};
  const std::vector<LogisticFit> fits = fit_logistic(p.features_ND, p.labels_N, l2, running);
  EXPECT(fits.size() == l2.size());
  for (std::size_t i = 0; i < l2.size(); ++i) {
    EXPECT(fits[i].converged);
    EXPECT_LE(logistic_gradient(p.features_ND, p.labels_N, fits[i].weights, l2[i]), 1e-6 * (1 + 1e-6));
    // A solution of another penalty is not one of this.
    EXPECT(logistic_gradient(p.features_ND, p.labels_N, fits[i].weights, 2 * l2[i]) > 1e-5);
  }
}

TEST("logistic: more columns than rows, and columns of very different scale") {
  Problem p = noisy_problem(60, 200);
  const LogisticFit wide = fit_logistic(p.features_ND, p.labels_N, {1e-3}, running)[0];
  EXPECT_LE(logistic_gradient(p.features_ND, p.labels_N, wide.weights, 1e-3), 1e-6 * (1 + 1e-6));
  p = noisy_problem(300, 4);
  p.features_ND.select(1, 0).mul_(100);
  p.features_ND.select(1, 1).mul_(0.01);
  const LogisticFit scaled = fit_logistic(p.features_ND, p.labels_N, {1e-4}, running)[0];
  EXPECT(scaled.converged);
  EXPECT_LE(logistic_gradient(p.features_ND, p.labels_N, scaled.weights, 1e-4), 1e-6 * (1 + 1e-6));
}

TEST("logistic: a constant feature gets no weight and the intercept is the log odds") {
  // With features of zero the problem has the closed form sigmoid(b) = share of positives; nothing shrinks b.
  const at::Tensor labels_N = at::tensor({1, 0, 0, 0, 0}, at::kByte);
  const LogisticFit fit = fit_logistic(at::zeros({5, 2}), labels_N, {1.0}, running)[0];
  EXPECT(fit.converged);
  EXPECT_CLOSE(fit.weights[0].item<double>(), 0.0, 1e-12);
  // d loss / d b changes by p (1 - p) = 0.16 per unit of b, so a gradient of 1e-6 leaves 1e-6 / 0.16.
  EXPECT_CLOSE(fit.weights[2].item<double>(), std::log(0.25), 1e-6 / 0.16);
}

TEST("logistic: separable data stay finite and follow the closed condition") {
  // x = +-1, labels = sign: b = 0 by symmetry and l2 w = sigmoid(-w).
  const at::Tensor features_ND = at::tensor({-1.0, 1.0, -1.0, 1.0}).view({4, 1});
  const at::Tensor labels_N = at::tensor({0, 1, 0, 1}, at::kByte);
  for (const double l2 : {1.0, 1e-3, 1e-6}) {
    const LogisticFit fit = fit_logistic(features_ND, labels_N, {l2}, running)[0];
    const double w = fit.weights[0].item<double>();
    EXPECT(fit.converged && std::isfinite(w) && w > 0);
    EXPECT_CLOSE(l2 * w, 1 / (1 + std::exp(w)), 1e-6);
    EXPECT_CLOSE(fit.weights[1].item<double>(), 0.0, 1e-4);
  }
}

TEST("logistic: errors name argument, rule and value") {
  const at::Tensor features_ND = at::ones({3, 2});
  const at::Tensor labels_N = at::tensor({0, 1, 1}, at::kByte);
  EXPECT_THROWS(fit_logistic(features_ND, at::ones({3}, at::kByte), {1.0}, running),
                "[logistic] labels must hold both classes but hold 3 of one class");
  EXPECT_THROWS(fit_logistic(features_ND, labels_N * 2, {1.0}, running), "[logistic] labels must be 0 or 1 but hold 2");
  EXPECT_THROWS(fit_logistic(features_ND, labels_N, {}, running), "[logistic] l2 must hold at least one penalty");
  EXPECT_THROWS(fit_logistic(features_ND, labels_N, {1.0, 0.0}, running), "[logistic] l2 must be positive and finite");
  EXPECT_THROWS(fit_logistic(features_ND / 0, labels_N, {1.0}, running),
                "[logistic] features must be finite but hold 6 values");
  EXPECT_THROWS(fit_logistic(at::ones({0, 2}), at::ones({0}, at::kByte), {1.0}, running), "but are 0 x 2");
  EXPECT_THROWS(ehrjepa::api::fit_logistic({{1, 2, 3}, 2, 2, {0, 1}, {1.0}}, running),
                "[probes] features must have 2 x 2 entries but has 3");
  EXPECT_THROWS(ehrjepa::api::fit_logistic({{1, 2}, 2, 1, {0}, {1.0}}, running), "[probes] labels must have 2 x 1");
}

TEST("probes: a raised flag cancels") {
  const std::atomic<bool> cancelled{true};
  const Problem p = noisy_problem(20, 3);
  EXPECT_THROWS(fit_logistic(p.features_ND, p.labels_N, {1.0}, cancelled), "cancelled");
  EXPECT_THROWS(fit_ridge(p.features_ND, at::ones({20, 1}), {1.0}, cancelled), "cancelled");
}

/// Normal equations with the intercept as an unpenalised column, solved in one piece.
at::Tensor ridge_closed_form(const at::Tensor& features_ND, const at::Tensor& targets_NO, double l2) {
  const std::int64_t columns = features_ND.size(1);
  const auto rows = static_cast<double>(features_ND.size(0));
  const at::Tensor x = at::cat({features_ND.to(at::kDouble), at::ones({features_ND.size(0), 1}, at::kDouble)}, 1);
  at::Tensor penalty = at::full({columns + 1}, l2, at::kDouble);
  penalty[columns] = 0;
  return at::linalg_solve(x.t().matmul(x) / rows + penalty.diag(), x.t().matmul(targets_NO.to(at::kDouble)) / rows).t();
}

TEST("ridge: agrees with the normal equations, in primal and dual form") {
  at::manual_seed(6);
  for (const auto& [rows, columns] : std::vector<std::pair<std::int64_t, std::int64_t>>{{80, 7}, {9, 30}, {12, 12}}) {
    const at::Tensor features_ND = at::randn({rows, columns}) + 2;
    const at::Tensor targets_NO = at::randn({rows, 3}) - 5;
    const std::vector<double> l2 = {1e-3, 1.0};
    const at::Tensor found = fit_ridge(features_ND, targets_NO, l2, running);
    EXPECT(found.sizes() == at::IntArrayRef({2, 3, columns + 1}));
    for (std::int64_t i = 0; i < 2; ++i) {
      // Condition number of the normal equations, about 1e5, times float64 rounding.
      const at::Tensor exact = ridge_closed_form(features_ND, targets_NO, l2[static_cast<std::size_t>(i)]);
      EXPECT_LE((found[i] - exact).abs().max().item<double>(), 1e-9);
    }
  }
}

TEST("ridge: one feature has the closed form cov / (var + l2)") {
  const at::Tensor x = at::tensor({1.0, 2.0, 3.0, 6.0}).view({4, 1});
  const at::Tensor y = at::tensor({2.0, 0.0, 5.0, 9.0}).view({4, 1});
  const double covariance = ((x - x.mean()) * (y - y.mean())).mean().item<double>();
  const double variance = (x - x.mean()).square().mean().item<double>();
  const at::Tensor found = fit_ridge(x, y, {0.5}, running)[0][0];
  EXPECT_CLOSE(found[0].item<double>(), covariance / (variance + 0.5), 1e-12);
  EXPECT_CLOSE(found[1].item<double>(), 4.0 - 3.0 * covariance / (variance + 0.5), 1e-12);
}

TEST("ridge: constant features leave the mean") {
  const at::Tensor found = fit_ridge(at::ones({4, 2}), at::tensor({1.0, 2.0, 3.0, 6.0}).view({4, 1}), {0.1}, running);
  EXPECT_CLOSE(found[0][0][0].item<double>(), 0.0, 1e-12);
  EXPECT_CLOSE(found[0][0][2].item<double>(), 3.0, 1e-12);
}

TEST("ridge: errors name argument, rule and value") {
  const at::Tensor x = at::ones({3, 2});
  EXPECT_THROWS(fit_ridge(x, at::ones({3, 1}) / 0, {1.0}, running), "[ridge] targets must be finite but hold 3 values");
  EXPECT_THROWS(fit_ridge(x, at::ones({3, 0}), {1.0}, running), "[ridge] targets must have at least one row");
  EXPECT_THROWS(fit_ridge(x, at::ones({3, 1}), {-1.0}, running), "[ridge] l2 must be positive and finite");
  EXPECT_THROWS(ehrjepa::api::fit_ridge({{1, 2}, 2, 1, {1, 2, 3}, 1, {1.0}}, running),
                "[probes] targets must have 2 x 1 entries but has 3");
}

}  // namespace
}  // namespace solve_test
