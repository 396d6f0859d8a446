#include <ATen/ATen.h>

#include <atomic>
#include <cmath>
#include <vector>

#include "api/probes.h"
#include "native/check.h"
#include "solve/cox.h"
#include "solve/hazard.h"
#include "solve/multinomial.h"

namespace survival_solve_test {
namespace {

using ehrjepa::solve::CoxFit;
using ehrjepa::solve::fit_cox;
using ehrjepa::solve::fit_hazard;
using ehrjepa::solve::fit_multinomial;

const std::atomic<bool> running{false};
const at::Tensor unweighted = at::empty({0}, at::kDouble);

struct Survival {
  at::Tensor features_ND, times_N, events_N;
};
/// Times in whole days, so that many are tied.
Survival tied_survival(std::int64_t rows, std::int64_t columns) {
  at::manual_seed(8);
  const at::Tensor features_ND = at::randn({rows, columns});
  const at::Tensor hazards_N = features_ND.select(1, 0).to(at::kDouble).exp() * 0.1;
  const at::Tensor times_N = (-at::rand({rows}, at::kDouble).log() / hazards_N).ceil();
  const at::Tensor ends_N = (at::rand({rows}, at::kDouble) * 30).ceil();
  return {features_ND, at::minimum(times_N, ends_N), times_N.le(ends_N).to(at::kByte)};
}

/// Efron's likelihood written out pair by pair, plus the penalty.
double cox_loss(const Survival& s, const at::Tensor& w, double l2) {
  const at::Tensor score_N = s.features_ND.to(at::kDouble).matmul(w);
  const std::int64_t rows = score_N.numel();
  double loss = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    if (s.events_N[i].item<std::int64_t>() == 0) continue;
    const at::Tensor same_N = s.times_N.eq(s.times_N[i]).logical_and(s.events_N.eq(1));
    const auto ties = same_N.sum().item<double>();
    // This event takes the place that its number among those of its time gives.
    const auto k = same_N.narrow(0, 0, i).sum().item<double>();
    const double at_risk = score_N.exp().masked_select(s.times_N.ge(s.times_N[i])).sum().item<double>();
    const double dying = score_N.exp().masked_select(same_N).sum().item<double>();
    loss += std::log(at_risk - k / ties * dying) - score_N[i].item<double>();
  }
  return loss / static_cast<double>(rows) + 0.5 * l2 * w.square().sum().item<double>();
}

TEST("cox: the solution is the minimum of Efron's likelihood, with and without a penalty") {
  const Survival s = tied_survival(60, 3);
  const std::vector<double> l2 = {0.1, 0.0, 1e-3};
  const std::vector<CoxFit> fits = fit_cox(s.features_ND, s.times_N, s.events_N, unweighted, l2, running);
  for (std::size_t i = 0; i < l2.size(); ++i) {
    EXPECT(fits[i].converged);
    for (std::int64_t d = 0; d < 3; ++d) {
      at::Tensor up = fits[i].weights_D.clone(), down = fits[i].weights_D.clone();
      up[d] += 1e-4;
      down[d] -= 1e-4;
      // Central difference: its error is of the order of the step squared.
      EXPECT_LE(std::abs(cox_loss(s, up, l2[i]) - cox_loss(s, down, l2[i])) / 2e-4, 1e-7);
    }
  }
  EXPECT(fits[1].weights_D[0].item<double>() > fits[0].weights_D[0].item<double>());
}

TEST("cox: order of rows, rows of weight 0 and scores of any size change nothing") {
  const Survival s = tied_survival(80, 4);
  const at::Tensor found = fit_cox(s.features_ND, s.times_N, s.events_N, unweighted, {0.01}, running)[0].weights_D;
  const at::Tensor order_N = at::randperm(80);
  const at::Tensor shuffled = fit_cox(s.features_ND.index_select(0, order_N), s.times_N.index_select(0, order_N),
                                      s.events_N.index_select(0, order_N), unweighted, {0.01}, running)[0]
                                  .weights_D;
  EXPECT_LE((found - shuffled).abs().max().item<double>(), 1e-9);
  const at::Tensor weights_N = at::cat({at::full({80}, 3.0, at::kDouble), at::zeros({5}, at::kDouble)});
  const at::Tensor with_others =
      fit_cox(at::cat({s.features_ND, at::randn({5, 4})}), at::cat({s.times_N, at::ones({5}, at::kDouble)}),
              at::cat({s.events_N, at::ones({5}, at::kByte)}), weights_N, {0.01}, running)[0]
          .weights_D;
  EXPECT_LE((found - with_others).abs().max().item<double>(), 1e-9);
  // Differences of scores of several thousand: exponentials alone would overflow.
  const CoxFit far = fit_cox(s.features_ND * 1e4, s.times_N, s.events_N, unweighted, {1e-12}, running)[0];
  EXPECT(far.weights_D.isfinite().all().item<bool>());
}

TEST("cox: separable events have no finite solution without a penalty, and one with it") {
  const at::Tensor times_N = at::arange(1, 21, at::kDouble);
  const at::Tensor events_N = at::ones({20}, at::kByte);
  const at::Tensor features_ND = -times_N.to(at::kFloat).view({20, 1});
  EXPECT(!fit_cox(features_ND, times_N, events_N, unweighted, {0.0}, running)[0].converged);
  EXPECT(fit_cox(features_ND, times_N, events_N, unweighted, {1e-4}, running)[0].converged);
}

TEST("hazard: equals logistic rows of persons and periods, whose gradient vanishes") {
  const Survival s = tied_survival(200, 3);
  const at::Tensor at_risk_N = at::minimum((s.times_N / 5).ceil(), at::full({200}, 4.0, at::kDouble)).to(at::kInt);
  const at::Tensor events_N = s.events_N * s.times_N.le(20).to(at::kByte);
  const auto fit = fit_hazard(s.features_ND, at_risk_N, events_N, 4, unweighted, {0.02}, running)[0];
  EXPECT(fit.converged);
  at::Tensor gradient = at::cat({fit.weights_DP.narrow(0, 0, 3) * 0.02, at::zeros({4}, at::kDouble)});
  for (std::int64_t i = 0; i < 200; ++i) {
    for (std::int64_t p = 0; p < at_risk_N[i].item<std::int64_t>(); ++p) {
      const at::Tensor period = at::zeros({4}, at::kDouble);
      period[p] = 1;
      const at::Tensor x = at::cat({s.features_ND[i].to(at::kDouble), period});
      const bool seen = events_N[i].item<std::int64_t>() == 1 && p + 1 == at_risk_N[i].item<std::int64_t>();
      gradient += x * (at::sigmoid(x.dot(fit.weights_DP)) - (seen ? 1 : 0)) / 200;
    }
  }
  EXPECT_LE(gradient.abs().max().item<double>(), 1e-10);
}

TEST("multinomial: the gradient vanishes, weights sum to 0, two classes are a logistic regression") {
  at::manual_seed(9);
  const at::Tensor features_ND = at::randn({150, 4}) + 1;
  const at::Tensor labels_N = (features_ND.select(1, 1) + at::randn({150})).clamp(0, 2.5).to(at::kInt);
  const auto fit = fit_multinomial(features_ND, labels_N, 3, unweighted, {0.01}, running)[0];
  EXPECT(fit.converged);
  EXPECT_LE(fit.weights_CD1.sum(0).abs().max().item<double>(), 1e-9);
  const at::Tensor x = at::cat({features_ND.to(at::kDouble), at::ones({150, 1}, at::kDouble)}, 1);
  const at::Tensor residual = at::softmax(x.matmul(fit.weights_CD1.t()), 1) - at::one_hot(labels_N.to(at::kLong), 3);
  at::Tensor penalty = fit.weights_CD1 * 0.01;
  penalty.select(1, 4).zero_();
  EXPECT_LE((residual.t().matmul(x) / 150 + penalty).abs().max().item<double>(), 1e-10);
}

TEST("newton solvers: errors name argument, rule and value") {
  const at::Tensor x = at::randn({4, 2});
  const at::Tensor times_N = at::tensor({1.0, 2.0, 3.0, 4.0}, at::kDouble);
  const at::Tensor events_N = at::tensor({0, 1, 0, 1}, at::kByte);
  EXPECT_THROWS(fit_cox(x, times_N, events_N * 0, unweighted, {1.0}, running),
                "[cox] events must hold at least one that counts but hold none in 4 rows");
  EXPECT_THROWS(fit_cox(x, times_N, events_N, events_N.to(at::kDouble) * 0, {1.0}, running),
                "[cox] weights must hold one above 0");
  EXPECT_THROWS(fit_cox(x, times_N, events_N, times_N - 2, {1.0}, running),
                "[cox] weights must be at least 0 and finite but hold -1");
  EXPECT_THROWS(fit_cox(x, times_N / 0, events_N, unweighted, {1.0}, running), "[cox] times must be finite");
  EXPECT_THROWS(fit_cox(x, times_N, events_N * 2, unweighted, {1.0}, running),
                "[cox] events must be 0 or 1 but hold 2");
  EXPECT_THROWS(fit_cox(x, times_N, events_N, unweighted, {-1.0}, running), "[cox] l2 must be at least 0 and finite");
  const at::Tensor labels_N = at::tensor({0, 1, 2, 1}, at::kInt);
  EXPECT_THROWS(fit_multinomial(x, labels_N, 2, unweighted, {1.0}, running),
                "[multinomial] labels must be 0 to 1 but hold 2");
  EXPECT_THROWS(fit_multinomial(x, labels_N, 4, unweighted, {1.0}, running), "hold none of class 3");
  EXPECT_THROWS(fit_multinomial(x, labels_N * 0, 1, unweighted, {1.0}, running),
                "[multinomial] classes must be at least 2 but are 1");
  EXPECT_THROWS(fit_multinomial(x, labels_N, 3, unweighted, {0.0}, running), "[multinomial] l2 must be positive");
  const at::Tensor at_risk_N = at::tensor({1, 1, 2, 2}, at::kInt);
  EXPECT_THROWS(fit_hazard(x, at_risk_N, events_N, 1, unweighted, {1.0}, running),
                "[hazard] at_risk must be 0 to 1 but holds 2");
  EXPECT_THROWS(fit_hazard(x, at_risk_N, events_N * 0, 2, unweighted, {1.0}, running),
                "period 0 has 0 events in 4 rows");
  EXPECT_THROWS(fit_hazard(x, at_risk_N * 0, events_N, 2, unweighted, {1.0}, running), "at risk in none");
  const std::atomic<bool> cancelled{true};
  EXPECT_THROWS(fit_cox(x, times_N, events_N, unweighted, {1.0}, cancelled), "cancelled");
}

}  // namespace
}  // namespace survival_solve_test
