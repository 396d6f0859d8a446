#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <atomic>

#include "native/check.h"
#include "native/gradcheck.h"
#include "native/random_batch.h"
#include "ops/attention/attention.h"

namespace packed_test {
namespace {

using namespace ehrjepa;
using namespace ehrjepa::test;

const std::atomic<bool> running{false};

struct Network {
  Qwen3Config config;
  model::Qwen3Weights weights, target;
  model::Predictor predictor;
  std::vector<at::Tensor> leaves;

  Network(bool tied, at::ScalarType dtype, const PredictorOptions& options = mlp_predictor) : config(config_of(tied)) {
    const auto cast = [&](const model::Qwen3Weights& w) {
      return model::clone_detached(model::cast_weights(w, dtype));
    };
    weights = cast(model::initialise_qwen3(config, 3));
    target = cast(model::initialise_qwen3(config, 4));
    predictor = model::initialise_predictor(config.hidden_size, options, 3).cast(dtype);
    std::vector<model::NamedTensor> parameters = weights.named(config);
    for (const model::NamedTensor& parameter : predictor.named()) parameters.push_back(parameter);
    model::require_gradients(parameters);
    for (const model::NamedTensor& parameter : parameters) leaves.push_back(parameter.tensor);
  }

  at::Tensor hidden(const train::WorldModelBatch& batch) const {
    return model::qwen3_forward(weights, config, batch.packed, running);
  }
  at::Tensor predictions(const train::WorldModelBatch& batch, const at::Tensor& hidden) const {
    const at::Tensor branch =
        batch.kind == BranchKind::kState ? at::Tensor() : hidden.index_select(0, batch.predicted_rows);
    // Every prediction with a context of its own; the step gives those of one branch a common one.
    return predictor.forward({branch, hidden.index_select(0, at::tensor(batch.context_rows, at::kLong)),
                              at::arange(static_cast<std::int64_t>(batch.context_rows.size())), batch.days});
  }

  LossPair packed_losses(const train::WorldModelBatch& batch) const {
    const at::Tensor states = hidden(batch);
    LossPair result;
    if (batch.labels.numel() > 0) {
      result.next_token =
          objective::next_token_loss(states.index_select(0, batch.scored_rows), weights.lm_head, batch.labels);
    }
    if (batch.target_rows.empty()) return result;
    if (batch.kind == BranchKind::kViews) {
      result.latent = objective::latent_loss(predictions(batch, states),
                                             states.index_select(0, at::tensor(batch.target_rows, at::kLong)),
                                             LatentLossKind::kCosine);
      return result;
    }
    std::vector<std::int64_t> rows = batch.target_rows;
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    std::vector<std::int64_t> places;
    for (const std::int64_t row : batch.target_rows) {
      places.push_back(std::lower_bound(rows.begin(), rows.end(), row) - rows.begin());
    }
    const at::NoGradGuard no_grad;
    const at::Tensor targets =
        objective::normalise_target(model::qwen3_forward_rows(target, config, batch.packed.trunk(), rows, 1, running));
    const at::Tensor wanted = targets.index_select(0, at::tensor(places, at::kLong));
    const at::AutoGradMode grad(true);
    result.latent = objective::latent_loss(predictions(batch, states), wanted);
    return result;
  }

  std::vector<at::Tensor> gradients(const at::Tensor& loss) const {
    std::vector<at::Tensor> result = torch::autograd::grad({loss}, leaves, {}, std::nullopt, false, true);
    for (std::size_t i = 0; i < result.size(); ++i) {
      if (!result[i].defined()) result[i] = at::zeros_like(leaves[i]);
    }
    return result;
  }
};

at::Tensor total(const LossPair& losses) {
  if (!losses.latent.defined()) return losses.next_token;
  return losses.next_token + 0.7 * losses.latent;
}

/// A network with the predictors that each kind of branch trains with.
std::vector<Network> networks_of(BranchKind kind, bool tied, at::ScalarType dtype) {
  std::vector<Network> result;
  if (kind == BranchKind::kState) {
    result.emplace_back(tied, dtype, state_predictor);
  } else if (kind == BranchKind::kViews) {
    result.emplace_back(tied, dtype, PredictorOptions{});
  } else {
    result.emplace_back(tied, dtype, mlp_predictor);
    result.emplace_back(tied, dtype, transformer_predictor);
  }
  return result;
}

TEST("packed: losses and gradients are those of separate passes, in float64") {
  for (const BranchKind kind : kinds) {
    double worst_loss = 0, worst_gradient = 0;
    for (const bool tied : {true, false}) {
      for (const Network& net : networks_of(kind, tied, at::kDouble)) {
        for (unsigned seed = tied ? 0 : 20; seed < (tied ? 20U : 40U); ++seed) {
          const PlainBatch batch = random_batch(seed, seed % 10 == 9 ? 400 : 24, kind);
          const at::Tensor found = total(net.packed_losses(batch.packed(vocabulary)));
          const at::Tensor expected = total(two_pass_losses(batch, net.weights, net.target, net.predictor, net.config));
          worst_loss = std::max(worst_loss, std::abs(found.item<double>() / expected.item<double>() - 1));
          worst_gradient =
              std::max(worst_gradient, relative(flat(net.gradients(found)), flat(net.gradients(expected))));
        }
      }
    }
    EXPECT_LE(worst_loss, 1e-12);
    EXPECT_LE(worst_gradient, 1e-12);
  }
}

TEST("packed: float32 within 1e-5, bfloat16 within twice the error of separate bfloat16 passes") {
  for (const BranchKind kind : kinds) {
    const std::vector<Network> wides = networks_of(kind, true, at::kDouble);
    const std::vector<Network> singles = networks_of(kind, true, at::kFloat);
    const std::vector<Network> halves = networks_of(kind, true, at::kBFloat16);
    for (std::size_t n = 0; n < halves.size(); ++n) {
      const Network &wide = wides[n], &single = singles[n], &half = halves[n];
      // The same numbers everywhere: those of bfloat16.
      for (const Network* net : {&wide, &single}) {
        const at::NoGradGuard no_grad;
        for (std::size_t i = 0; i < net->leaves.size(); ++i) net->leaves[i].copy_(half.leaves[i]);
        const auto from = half.target.named(half.config), to = net->target.named(net->config);
        for (std::size_t i = 0; i < to.size(); ++i) to[i].tensor.copy_(from[i].tensor);
      }
      double packed_error = 0, separate_error = 0;
      for (unsigned seed = 100; seed < 106; ++seed) {
        const PlainBatch batch = random_batch(seed, 30, kind);
        const auto packed = [&](const Network& net) {
          return flat(net.gradients(total(net.packed_losses(batch.packed(vocabulary)))));
        };
        const auto separate = [&](const Network& net) {
          return flat(net.gradients(total(two_pass_losses(batch, net.weights, net.target, net.predictor, net.config))));
        };
        const at::Tensor truth = separate(wide);
        EXPECT_LE(relative(packed(single), separate(single)), 1e-5);
        packed_error += relative(packed(half), truth);
        separate_error += relative(separate(half), truth);
      }
      EXPECT(separate_error > 0);
      EXPECT_LE(packed_error, 2 * separate_error);
    }
  }
}

TEST("packed: a branch does not see the clean future, bit for bit, nor reach it with a gradient") {
  for (const BranchKind kind : {BranchKind::kCausal, BranchKind::kIsolated, BranchKind::kState}) {
    for (const Network& net : networks_of(kind, false, at::kFloat)) {
      const PlainBatch batch = leak_batch(kind);
      const auto predictions = [&](const PlainBatch& b) {
        const train::WorldModelBatch packed = b.packed(vocabulary);
        return net.predictions(packed, net.hidden(packed));
      };
      const at::Tensor before = predictions(batch);
      EXPECT(predictions(batch).equal(before));
      for (std::size_t s = 0; s < 2; ++s) {
        for (std::size_t i = static_cast<std::size_t>(batch.context_lengths[s]); i < batch.sequences[s].size(); ++i) {
          PlainBatch changed = batch;
          changed.sequences[s][i] = 20;
          EXPECT(predictions(changed).equal(before));
        }
      }
      PlainBatch other_patient = batch;
      other_patient.sequences[1][0] = 21;
      EXPECT(predictions(other_patient).slice(0, 0, 4).equal(before.slice(0, 0, 4)));
      if (kind == BranchKind::kIsolated) {
        PlainBatch other_query = batch;
        other_query.branches[0].tokens[1] = 22;
        const at::Tensor after = predictions(other_query);
        for (const std::int64_t row : {0, 2, 3}) EXPECT(after[row].equal(before[row]));
        EXPECT(!after[1].equal(before[1]));
      }
      const at::Tensor embedding_gradient = net.gradients(net.packed_losses(batch.packed(vocabulary)).latent)[0];
      EXPECT(embedding_gradient.slice(0, 30, 36).eq(0).all().item<bool>());
      EXPECT(!embedding_gradient.slice(0, 1, 8).eq(0).all(1).any().item<bool>());
      PlainBatch context = batch;
      context.sequences[0][2] = 23;
      EXPECT(!predictions(context).equal(before));
      // The time ahead counts for those that are told of it.
      PlainBatch later = batch;
      later.branches[0].days[0] = 40;
      EXPECT(predictions(later)[0].equal(before[0]) == (net.predictor.named().size() == 4));
      EXPECT(predictions(later).slice(0, 1).equal(before.slice(0, 1)));
    }
  }
}

TEST("packed: neither of two views sees the other, bit for bit, nor reaches it with a gradient") {
  const Network net(false, at::kFloat, PredictorOptions{});
  for (const std::int32_t own : {0, 3}) {
    PlainBatch batch = leak_batch(BranchKind::kViews);
    batch.predictor_tokens = own;
    for (PlainBranch& branch : batch.branches) {
      const auto& sequence = batch.sequences[static_cast<std::size_t>(branch.sequence)];
      branch = {branch.sequence, branch.cut, {}, {}, {}, {}};
      for (std::int32_t i = 0; i < own; ++i) {
        branch.tokens.push_back(mask_token);
        branch.position_ids.push_back(branch.cut + i);
      }
      for (auto i = static_cast<std::size_t>(branch.cut); i < sequence.size(); ++i) {
        branch.tokens.push_back(sequence[i]);
        branch.position_ids.push_back(static_cast<std::int32_t>(i) - branch.cut);
      }
      branch.targets.assign(branch.tokens.size(), -1);
    }
    const auto views = [&](const PlainBatch& b) {
      const train::WorldModelBatch packed = b.packed(vocabulary);
      const at::Tensor hidden = net.hidden(packed);
      return std::pair(hidden.index_select(0, packed.predicted_rows),
                       hidden.index_select(0, at::tensor(packed.target_rows, at::kLong)));
    };
    const auto [first, second] = views(batch);
    PlainBatch context = batch, future = batch;
    context.sequences[0][1] = 20;
    future.branches[0].tokens.back() = 20;
    EXPECT(!views(context).first.equal(first) && views(context).second.equal(second));
    EXPECT(views(future).first.equal(first) && !views(future).second.equal(second));
    const at::Tensor from_first = net.gradients(first.square().sum() * first.sum())[0];
    const at::Tensor again = views(batch).second;
    const at::Tensor from_second = net.gradients(again.square().sum() * again.sum())[0];
    EXPECT(from_first.slice(0, 30, 36).eq(0).all().item<bool>());
    EXPECT(from_second.slice(0, 0, 8).eq(0).all().item<bool>());
    EXPECT(!from_first.slice(0, 1, 8).eq(0).all(1).any().item<bool>());
    EXPECT(!from_second.slice(0, 30, 36).eq(0).all(1).any().item<bool>());
  }
}

TEST("attention: branches and chosen rows as the definition says, gradients in float64") {
  at::manual_seed(11);
  const ops::AttentionLayout layout[] = {
      {{0, 5, 9}, {{0, 3, 9, 12}, {5, 6, 12, 13}, {0, 1, 13, 15}}, false},
      {{0, 5, 9}, {{0, 3, 9, 12}, {5, 6, 12, 13}, {0, 1, 13, 15}}, true},
  };
  for (const ops::AttentionLayout& who : layout) {
    const at::Tensor q = at::randn({15, 4, 6}, at::kDouble);
    const at::Tensor k = at::randn({15, 2, 6}, at::kDouble);
    const at::Tensor v = at::randn({15, 2, 6}, at::kDouble);
    const at::Tensor sees = at::zeros({15, 15}, at::kBool);
    for (std::int64_t t = 0; t < 9; ++t) {
      for (std::int64_t s = t < 5 ? 0 : 5; s <= t; ++s) sees[t][s] = true;
    }
    for (const ops::Branch& branch : who.branches) {
      for (std::int64_t t = branch.begin; t < branch.end; ++t) {
        for (std::int64_t s = branch.context_begin; s < branch.context_end; ++s) sees[t][s] = true;
        for (std::int64_t s = who.isolated ? t : branch.begin; s <= t; ++s) sees[t][s] = true;
      }
    }
    const auto definition = [&](const std::vector<at::Tensor>& in) {
      const at::Tensor keys = in[1].repeat_interleave(2, 1), values = in[2].repeat_interleave(2, 1);
      const at::Tensor scores =
          at::einsum("tnh,snh->nts", {in[0], keys}).mul(0.4).masked_fill(sees.logical_not(), -INFINITY);
      return at::einsum("nts,snh->tnh", {scores.softmax(-1), values});
    };
    const auto ours = [&](const std::vector<at::Tensor>& in) { return ops::attention(in[0], in[1], in[2], who, 0.4); };
    EXPECT_LE((ours({q, k, v}) - definition({q, k, v})).abs().max().item<double>(), 1e-12);
    EXPECT_LE(gradcheck(ours, {q, k, v}), 1e-6);
  }
  const ops::AttentionLayout trunk{{0, 5, 9}, {}, false};
  const at::Tensor q = at::randn({9, 4, 6}, at::kDouble), k = at::randn({9, 2, 6}, at::kDouble),
                   v = at::randn({9, 2, 6}, at::kDouble);
  const std::vector<std::int64_t> rows = {0, 3, 6, 8};
  const at::Tensor index = at::tensor(rows, at::kLong);
  EXPECT_LE((ops::attention(q.index_select(0, index), k, v, trunk, 0.4, rows) -
             ops::attention(q, k, v, trunk, 0.4).index_select(0, index))
                .abs()
                .max()
                .item<double>(),
            1e-12);
}

TEST("qwen3: chosen rows are rows of the whole; the mean over the last blocks is a mean") {
  const Network net(true, at::kDouble);
  const train::WorldModelBatch batch = random_batch(7, 24).packed(vocabulary);
  const model::PackedTokens trunk = batch.packed.trunk();
  const std::vector<std::int64_t> rows = {0, trunk.layout.trunk_rows() - 1};
  const at::Tensor whole = model::qwen3_forward(net.weights, net.config, trunk, running);
  const at::Tensor chosen = model::qwen3_forward_rows(net.weights, net.config, trunk, rows, 1, running);
  EXPECT_LE((whole.index_select(0, at::tensor(rows, at::kLong)) - chosen).abs().max().item<double>(), 1e-12);
  const at::Tensor mean = model::qwen3_forward_rows(net.weights, net.config, trunk, rows, 2, running);
  EXPECT_LE(mean.mean(-1).abs().max().item<double>(), 1e-6);
  EXPECT((mean.var(-1, false) <= 1.0 + 1e-6).all().item<bool>());
  EXPECT_THROWS(model::qwen3_forward_rows(net.weights, net.config, trunk, rows, 3, running),
                "target layers must lie in [1, 2] but it is 3");
}

}  // namespace
}  // namespace packed_test
