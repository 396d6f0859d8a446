#include "ops/references.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <atomic>
#include <vector>

#include "model/qwen3.h"
#include "native/check.h"
#include "native/random_batch.h"
#include "objective/next_token.h"

namespace references_test {
namespace {

using namespace ehrjepa;
using namespace ehrjepa::test;

const std::atomic<bool> running{false};

/// Loss of the scored rows, states of all rows, and the gradients of every weight, on one axis.
at::Tensor losses_and_gradients(const PlainBatch& plain, at::ScalarType dtype) {
  const Qwen3Config config = config_of(/*tied=*/true);
  const model::Qwen3Weights weights =
      model::clone_detached(model::cast_weights(model::initialise_qwen3(config, 3), dtype));
  const std::vector<model::NamedTensor> parameters = weights.named(config);
  model::require_gradients(parameters);
  std::vector<at::Tensor> leaves;
  for (const model::NamedTensor& parameter : parameters) leaves.push_back(parameter.tensor);
  const train::WorldModelBatch batch = plain.packed(vocabulary);
  const at::Tensor states = model::qwen3_forward(weights, config, batch.packed, running);
  at::Tensor loss = states.square().mean();
  if (batch.labels.numel() > 0) {
    loss = loss + objective::next_token_loss(states.index_select(0, batch.scored_rows), weights.lm_head, batch.labels);
  }
  std::vector<at::Tensor> all = torch::autograd::grad({loss}, leaves, {}, /*retain_graph=*/false,
                                                      /*create_graph=*/false, /*allow_unused=*/true);
  std::erase_if(all, [](const at::Tensor& gradient) { return !gradient.defined(); });
  all.push_back(loss);
  all.push_back(states);
  return flat(all);
}

TEST("references: a model whose every op is its reference gives the same losses and gradients") {
  for (unsigned seed = 0; seed < 6; ++seed) {
    for (const BranchKind kind : kinds) {
      const PlainBatch batch = random_batch(seed, 11, kind);
      const auto both = [&](at::ScalarType dtype) {
        const at::Tensor fused = losses_and_gradients(batch, dtype);
        const ops::UseReferences references;
        return relative(fused, losses_and_gradients(batch, dtype));
      };
      EXPECT_LE(both(at::kDouble), 1e-12);
      EXPECT_LE(both(at::kFloat), 1e-5);
      EXPECT_LE(both(at::kBFloat16), 5e-2);
    }
  }
}

TEST("references: they are in use while asked for, on the thread that asked") {
  EXPECT(!ops::references_in_use());
  {
    const ops::UseReferences outer;
    {
      const ops::UseReferences inner;
      EXPECT(ops::references_in_use());
    }
    EXPECT(ops::references_in_use());
  }
  EXPECT(!ops::references_in_use());
}

}  // namespace
}  // namespace references_test
