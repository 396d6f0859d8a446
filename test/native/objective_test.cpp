#include <ATen/ATen.h>

#include "native/check.h"
#include "native/gradcheck.h"
#include "objective/anti_collapse/terms.h"
#include "objective/latent.h"

namespace objective_test {
namespace {

using namespace ehrjepa;

TEST("latent losses: values worked out by hand, gradients in float64") {
  const at::Tensor z = at::tensor({3.0, 0.0, 0.0, 0.5}, at::kDouble).view({2, 2});
  const at::Tensor y = at::tensor({1.0, 0.0, 0.0, 1.0}, at::kDouble).view({2, 2});
  EXPECT_CLOSE(objective::latent_loss(z, y).item<double>(), (4.0 + 0.25) / 4, 1e-12);
  EXPECT_CLOSE(objective::latent_loss(z, y, LatentLossKind::kL1).item<double>(), 2.5 / 4, 1e-12);
  EXPECT_CLOSE(objective::latent_loss(z, y, LatentLossKind::kSmoothL1, 1.0).item<double>(), (1.5 + 0.125) / 4, 1e-12);
  EXPECT_CLOSE(objective::latent_loss(z, y, LatentLossKind::kCosine).item<double>(), 0.0, 1e-12);
  const at::Tensor x = at::randn({5, 3}, at::kDouble), target = at::randn({5, 3}, at::kDouble);
  for (const LatentLossKind kind : {LatentLossKind::kMse, LatentLossKind::kSmoothL1, LatentLossKind::kCosine}) {
    EXPECT_LE(gradcheck([&](const auto& in) { return objective::latent_loss(in[0], target, kind, 0.7); }, {x}), 1e-6);
  }
}

TEST("anti-collapse terms: collapsed latents are punished, spread ones are not; gradients in float64") {
  at::manual_seed(3);
  const at::Tensor spread = at::randn({4000, 4}, at::kDouble);
  const at::Tensor point = at::ones({50, 4}, at::kDouble);
  EXPECT_LE(objective::variance_hinge(spread * 1.2).item<double>(), 1e-6);
  EXPECT_CLOSE(objective::variance_hinge(point).item<double>(), 1.0 - 0.01, 1e-9);
  const at::Tensor copies = spread.narrow(1, 0, 1).expand({4000, 4});
  EXPECT_LE(objective::covariance_penalty(spread).item<double>(), 0.01);
  // Every off-diagonal covariance is the variance: 12 of them over 4 features.
  const double variance = spread.narrow(1, 0, 1).var().item<double>();
  EXPECT_CLOSE(objective::covariance_penalty(copies).item<double>(), 3 * variance * variance, 1e-9);
  const double good = objective::sigreg(spread, 64, 1, 1).item<double>();
  const double bad = objective::sigreg(at::ones({4000, 4}, at::kDouble), 64, 1, 1).item<double>();
  EXPECT(good < 2 && bad > 100 * good);
  EXPECT(objective::sigreg(spread, 64, 1, 1).equal(objective::sigreg(spread, 64, 1, 1)));
  EXPECT(!objective::sigreg(spread, 64, 1, 2).equal(objective::sigreg(spread, 64, 1, 1)));
  const at::Tensor x = at::randn({6, 3}, at::kDouble) * 0.5;
  EXPECT_LE(gradcheck([](const auto& in) { return objective::variance_hinge(in[0]); }, {x}), 1e-5);
  EXPECT_LE(gradcheck([](const auto& in) { return objective::covariance_penalty(in[0]); }, {x}), 1e-5);
  EXPECT_LE(gradcheck([](const auto& in) { return objective::sigreg(in[0], 8, 1, 1); }, {x}), 1e-5);
  const at::Tensor one = at::randn({1, 3}, at::kDouble);
  for (const at::Tensor& term :
       {objective::variance_hinge(one), objective::covariance_penalty(one), objective::sigreg(one, 8, 1, 1)}) {
    EXPECT_CLOSE(term.item<double>(), 0.0, 0);
  }
}

TEST("anti-collapse: the weighted sum is that of the terms, and a name that is none is refused") {
  const at::Tensor x = at::randn({6, 3}, at::kDouble);
  const objective::Predictions predictions{x, 1, 2};
  const double expected = (0.5 * objective::variance_hinge(x) + 2.0 * objective::sigreg(x, 256, 1, 2)).item<double>();
  EXPECT_CLOSE(
      objective::anti_collapse({{"sigreg", 2.0}, {"covariance", 0.0}, {"variance", 0.5}}, predictions).item<double>(),
      expected, 1e-12);
  EXPECT(!objective::anti_collapse({{"variance", 0.0}}, predictions).defined());
  EXPECT_THROWS(objective::anti_collapse({{"spread", 1.0}}, predictions),
                "anti-collapse terms must be of variance, covariance, sigreg but one is spread");
  EXPECT_THROWS(objective::anti_collapse({{"variance", -1.0}}, predictions), "must not be negative but is -1");
}

}  // namespace
}  // namespace objective_test
