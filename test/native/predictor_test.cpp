#include "model/predictor.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "native/check.h"
#include "native/gradcheck.h"
#include "native/random_batch.h"

namespace predictor_test {
namespace {

using namespace ehrjepa;
using namespace ehrjepa::test;

TEST("predictor: a transformer of its own width, gradients in float64, told of the time, row by row") {
  at::manual_seed(5);
  constexpr std::int64_t features = 12;
  for (const PredictorOptions& options : {transformer_predictor, state_predictor}) {
    const model::Predictor predictor = model::initialise_predictor(features, options, 9).cast(at::kDouble);
    std::int64_t scalars = 0;
    std::vector<at::Tensor> inputs;
    for (const model::NamedTensor& parameter : predictor.named()) scalars += parameter.tensor.numel();
    EXPECT(scalars == model::parameter_count(options, features));
    const at::Tensor branch = at::randn({5, features}, at::kDouble), context = at::randn({2, features}, at::kDouble);
    const at::Tensor which = at::tensor({0, 1, 0, 1, 1}, at::kLong);
    const at::Tensor days = at::tensor({0.0, 1.0, 30.5, 365.0, 20000.0}, at::kFloat);
    const auto forward = [&](const std::vector<at::Tensor>& in) {
      return predictor.forward({options.from_state ? at::Tensor() : in[1], in[0], which, days});
    };
    const at::Tensor whole = forward({context, branch});
    EXPECT(whole.sizes() == at::IntArrayRef({5, features}));
    if (options.from_state) {
      EXPECT_LE(gradcheck([&](const auto& in) { return forward({in[0], branch}); }, {context}), 1e-6);
    } else {
      EXPECT_LE(gradcheck(forward, {context, branch}), 1e-6);
    }
    for (std::int64_t i = 0; i < 5; ++i) {
      const at::Tensor alone = predictor.forward({options.from_state ? at::Tensor() : branch.narrow(0, i, 1),
                                                  context.index_select(0, which.narrow(0, i, 1)),
                                                  at::zeros({1}, at::kLong), days.narrow(0, i, 1)});
      EXPECT_LE((alone[0] - whole[i]).abs().max().template item<double>(), 1e-12);
    }
    EXPECT_THROWS(predictor.forward({options.from_state ? branch : at::Tensor(), context, which, days}),
                  options.from_state ? "must be given no branch rows" : "must have a branch row each but have none");
    const auto gradient_of = [&](const std::string& name) {
      for (const model::NamedTensor& parameter : predictor.named()) {
        if (parameter.name == name) {
          const at::Tensor leaf = parameter.tensor.requires_grad_(true);
          const at::Tensor gradient = torch::autograd::grad({forward({context, branch}).square().sum()}, {leaf})[0];
          leaf.requires_grad_(false);
          return gradient.abs().max().template item<double>();
        }
      }
      return 0.0;
    };
    for (const char* const name : {"predictor.time_proj.weight", "predictor.layers.1.k_proj.weight",
                                   "predictor.layers.0.fc2.bias", "predictor.context_proj.weight"}) {
      EXPECT(gradient_of(name) > 0);
    }
  }
  EXPECT_THROWS(model::initialise_predictor(features, {PredictorKind::kTransformer, 9, 2, 3}, 1), "width must be even");
  EXPECT_THROWS(model::initialise_predictor(features, {PredictorKind::kTransformer, 8, 2, 3}, 1),
                "heads must divide width (8) but is 3");
}

TEST("time encoding: days near and far are told apart, with values worked out by hand") {
  const at::Tensor days = at::tensor({0.0, 1.0, 2.0, 30.0, 31.0, 365.0, 366.0, 3650.0, 14600.0}, at::kFloat);
  const at::Tensor encoding = model::time_encoding(days, 32);
  EXPECT(encoding.slice(1, 0, 16)[0].eq(0).all().item<bool>() && encoding.slice(1, 16)[0].eq(1).all().item<bool>());
  EXPECT_CLOSE(encoding[1][0].item<double>(), std::sin(2 * 3.14159265358979 / 22 * std::log(2.0)), 1e-6);
  EXPECT_CLOSE(encoding[3][31].item<double>(), std::cos(2 * 3.14159265358979 / 0.5 * std::log(31.0)), 1e-4);
  for (std::int64_t i = 0; i < days.size(0); ++i) {
    for (std::int64_t j = 0; j < i; ++j) EXPECT((encoding[i] - encoding[j]).norm().item<double>() > 0.04);
  }
}

}  // namespace
}  // namespace predictor_test
