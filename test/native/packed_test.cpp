#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <atomic>
#include <random>

#include "native/check.h"
#include "native/gradcheck.h"
#include "native/two_pass.h"
#include "objective/anti_collapse.h"
#include "ops/attention/attention.h"
#include "train/step.h"

namespace {

using namespace ehrjepa;

const std::atomic<bool> running{false};
constexpr std::int32_t vocabulary = 41;
constexpr std::int32_t mask_token = 40;

model::Qwen3Config config_of(bool tied) {
  return {.vocab_size = vocabulary,
          .hidden_size = 12,
          .intermediate_size = 20,
          .num_hidden_layers = 2,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 6,
          .rope_theta = 1e4,
          .tie_word_embeddings = tied,
          .initializer_range = 0.3};
}

constexpr train::BranchKind kinds[] = {train::BranchKind::kCausal, train::BranchKind::kIsolated,
                                       train::BranchKind::kState, train::BranchKind::kViews};

/// 1 to 4 patients of 2 to `longest` tokens, each with 0 to 4 cuts, one-token contexts among them.
PlainBatch random_batch(unsigned seed, int longest, train::BranchKind kind) {
  std::mt19937 random(seed);
  const auto draw = [&](int low, int high) {
    return static_cast<std::int32_t>(low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1)));
  };
  PlainBatch batch;
  batch.kind = kind;
  const bool all_masked = kind == train::BranchKind::kIsolated || kind == train::BranchKind::kState;
  const int patients = draw(1, 4);
  if (kind == train::BranchKind::kViews) batch.predictor_tokens = draw(0, 4);
  for (int s = 0; s < patients; ++s) {
    const std::int32_t length = draw(2, longest);
    std::vector<std::int32_t>& tokens = batch.sequences.emplace_back();
    for (int i = 0; i < length; ++i) tokens.push_back(draw(0, mask_token - 1));
    batch.context_lengths.push_back(draw(1, length - 1));
    for (int k = draw(0, 4); k > 0; --k) {
      PlainBranch branch{s, k == 1 ? 1 : draw(1, length - 1), {}, {}, {}, {}};
      const auto add = [&](std::int32_t token, std::int32_t position, std::int32_t target) {
        if (kind != train::BranchKind::kState) {
          branch.tokens.push_back(token);
          branch.position_ids.push_back(position);
        }
        branch.targets.push_back(target);
        branch.days.push_back(static_cast<float>(position) * 7.5F);
      };
      if (kind == train::BranchKind::kViews) {
        for (std::int32_t i = 0; i < batch.predictor_tokens; ++i) add(mask_token, branch.cut + i, -1);
        for (std::int32_t i = branch.cut; i < length; ++i) {
          add(tokens[static_cast<std::size_t>(i)], i - branch.cut, -1);
        }
      } else {
        for (std::int32_t i = branch.cut; i < length; ++i) {
          if (all_masked && draw(0, 2) == 0 && i + 1 < length) continue;
          const bool masked = all_masked || draw(0, 1) == 0 || i + 1 == length;
          add(masked ? mask_token : tokens[static_cast<std::size_t>(i)], i, masked ? i : -1);
        }
      }
      batch.branches.push_back(branch);
    }
  }
  return batch;
}

PlainBatch random_batch(unsigned seed, int longest) { return random_batch(seed, longest, kinds[seed % 2]); }

constexpr model::PredictorOptions mlp_predictor{.kind = model::PredictorKind::kMlp, .width = 24};
constexpr model::PredictorOptions transformer_predictor{
    .kind = model::PredictorKind::kTransformer, .width = 8, .layers = 2, .heads = 2};
constexpr model::PredictorOptions state_predictor{
    .kind = model::PredictorKind::kTransformer, .width = 8, .layers = 2, .heads = 2, .from_state = true};

struct Network {
  model::Qwen3Config config;
  model::Qwen3Weights weights, target;
  model::Predictor predictor;
  std::vector<at::Tensor> leaves;

  Network(bool tied, at::ScalarType dtype, const model::PredictorOptions& options = mlp_predictor)
      : config(config_of(tied)) {
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
        batch.kind == train::BranchKind::kState ? at::Tensor() : hidden.index_select(0, batch.predicted_rows);
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
    if (batch.kind == train::BranchKind::kViews) {
      result.latent = objective::latent_loss(predictions(batch, states),
                                             states.index_select(0, at::tensor(batch.target_rows, at::kLong)),
                                             objective::LatentLossKind::kCosine);
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

at::Tensor flat(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& tensor : tensors) parts.push_back(tensor.detach().to(at::kDouble).flatten());
  return at::cat(parts);
}

double relative(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).norm() / expected.norm()).item<double>();
}

/// A network with the predictors that each kind of branch trains with.
std::vector<Network> networks_of(train::BranchKind kind, bool tied, at::ScalarType dtype) {
  std::vector<Network> result;
  if (kind == train::BranchKind::kState) {
    result.emplace_back(tied, dtype, state_predictor);
  } else if (kind == train::BranchKind::kViews) {
    result.emplace_back(tied, dtype, model::PredictorOptions{});
  } else {
    result.emplace_back(tied, dtype, mlp_predictor);
    result.emplace_back(tied, dtype, transformer_predictor);
  }
  return result;
}

TEST("packed: losses and gradients are those of separate passes, in float64") {
  for (const train::BranchKind kind : kinds) {
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
  const Network wide(true, at::kDouble), single(true, at::kFloat), half(true, at::kBFloat16);
  // The same numbers everywhere: those of bfloat16.
  for (const Network* net : {&wide, &single}) {
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < net->leaves.size(); ++i) net->leaves[i].copy_(half.leaves[i]);
    const auto from = half.target.named(half.config), to = net->target.named(net->config);
    for (std::size_t i = 0; i < to.size(); ++i) to[i].tensor.copy_(from[i].tensor);
  }
  double packed_error = 0, separate_error = 0;
  for (unsigned seed = 100; seed < 120; ++seed) {
    const PlainBatch batch = random_batch(seed, 30);
    const auto packed = [&](const Network& net) {
      return flat(net.gradients(total(net.packed_losses(batch.packed(vocabulary)))));
    };
    const auto separate = [&](const Network& net) {
      return flat(net.gradients(total(two_pass_losses(batch, net.weights, net.target, net.predictor, net.config))));
    };
    const at::Tensor truth = separate(wide);
    EXPECT_LE(relative(packed(single), truth), 1e-5);
    packed_error += relative(packed(half), truth);
    separate_error += relative(separate(half), truth);
  }
  EXPECT(separate_error > 0);
  EXPECT_LE(packed_error, 2 * separate_error);
}

// Tokens 30 to 35 stand in the clean future alone.
PlainBatch leak_batch(train::BranchKind kind) {
  PlainBatch batch;
  batch.kind = kind;
  batch.sequences = {{1, 2, 3, 4, 30, 31, 32, 33}, {5, 6, 7, 34, 35}};
  batch.context_lengths = {4, 3};
  batch.branches = {{0, 4, {mask_token, mask_token, mask_token, mask_token}, {4, 5, 6, 7}, {4, 5, 6, 7}, {1, 2, 9, 30}},
                    {1, 3, {mask_token, mask_token}, {3, 4}, {3, 4}, {400, 5000}}};
  if (kind == train::BranchKind::kState) {
    for (PlainBranch& branch : batch.branches) branch.tokens = branch.position_ids = {};
  }
  return batch;
}

TEST("packed: a branch does not see the clean future, bit for bit, nor reach it with a gradient") {
  for (const train::BranchKind kind :
       {train::BranchKind::kCausal, train::BranchKind::kIsolated, train::BranchKind::kState}) {
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
      if (kind == train::BranchKind::kIsolated) {
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
  const Network net(false, at::kFloat, model::PredictorOptions{});
  for (const std::int32_t own : {0, 3}) {
    PlainBatch batch = leak_batch(train::BranchKind::kViews);
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

TEST("predictor: a transformer of its own width, gradients in float64, told of the time, row by row") {
  at::manual_seed(5);
  constexpr std::int64_t features = 12;
  for (const model::PredictorOptions& options : {transformer_predictor, state_predictor}) {
    const model::Predictor predictor = model::initialise_predictor(features, options, 9).cast(at::kDouble);
    std::int64_t scalars = 0;
    std::vector<at::Tensor> inputs;
    for (const model::NamedTensor& parameter : predictor.named()) scalars += parameter.tensor.numel();
    EXPECT(scalars == options.parameter_count(features));
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
  EXPECT_THROWS(model::initialise_predictor(features, {model::PredictorKind::kTransformer, 9, 2, 3}, 1),
                "width must be even");
  EXPECT_THROWS(model::initialise_predictor(features, {model::PredictorKind::kTransformer, 8, 2, 3}, 1),
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

train::WorldModel model_of(ComputeDtype dtype = ComputeDtype::kFloat32) {
  return train::WorldModel({.config = config_of(true), .predictor = mlp_predictor, .compute_dtype = dtype, .seed = 5});
}

TEST("step: micro-batches of unequal size give the update of one large batch") {
  PlainBatch first = random_batch(2, 24), second = random_batch(18, 24);
  PlainBatch both = first;
  for (std::size_t s = 0; s < second.sequences.size(); ++s) {
    both.sequences.push_back(second.sequences[s]);
    both.context_lengths.push_back(second.context_lengths[s]);
  }
  for (PlainBranch branch : second.branches) {
    branch.sequence += static_cast<std::int32_t>(first.sequences.size());
    both.branches.push_back(branch);
  }
  const std::vector<train::WorldModelBatch> parts = {first.packed(vocabulary), second.packed(vocabulary)};
  EXPECT(parts[0].labels.size(0) != parts[1].labels.size(0));
  EXPECT(parts[0].target_rows.size() != parts[1].target_rows.size());
  const std::vector<train::WorldModelBatch> whole = {both.packed(vocabulary)};
  train::StepOptions options;
  train::WorldModel a = model_of(), b = model_of();
  const train::Gradients found = a.gradients(parts, options, running);
  const train::Gradients expected = b.gradients(whole, options, running);
  EXPECT_LE(relative(flat(found.values), flat(expected.values)), 1e-5);
  EXPECT_CLOSE(found.losses.loss, expected.losses.loss, 1e-5);
  EXPECT_CLOSE(*found.losses.next_token_loss, *expected.losses.next_token_loss, 1e-5);
  EXPECT_CLOSE(*found.losses.latent_loss, *expected.losses.latent_loss, 1e-5);
  EXPECT(found.losses.scored_tokens == expected.losses.scored_tokens);
}

TEST("step: every loss, target and predictor takes a step; the online target needs no target encoder") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  for (const objective::LatentLossKind kind : {objective::LatentLossKind::kMse, objective::LatentLossKind::kSmoothL1,
                                               objective::LatentLossKind::kL1, objective::LatentLossKind::kCosine}) {
    for (const train::TargetKind target : {train::TargetKind::kEma, train::TargetKind::kOnline}) {
      train::WorldModel model(
          {.config = config_of(true),
           .predictor = kind == objective::LatentLossKind::kL1 ? model::PredictorOptions{} : mlp_predictor,
           .seed = 5});
      train::StepOptions options;
      options.optimizer.learning_rate = 3e-3;
      options.latent.loss = kind;
      options.latent.target = target;
      options.with_collapse_monitors = true;
      const double before = *model.step(batch, options, running).latent_loss;
      for (int i = 0; i < 40; ++i) model.step(batch, options, running);
      const train::StepResult after = model.step(batch, options, running);
      EXPECT(*after.latent_loss < before);
      EXPECT((after.collapse->target_encoder_distance > 0));
    }
  }
  train::WorldModel model = model_of();
  train::StepOptions options;
  options.latent.target = train::TargetKind::kOnline;
  options.latent.target_layers = 2;
  EXPECT_THROWS(model.step(batch, options, running), "target layers must be 1 with the online target but are 2");
}

TEST("step: predictions from the state and from two views take steps; what does not fit is refused") {
  const auto last_loss = [](train::WorldModel& model, const PlainBatch& plain, train::StepOptions options) {
    const std::vector<train::WorldModelBatch> batch = {plain.packed(vocabulary)};
    options.optimizer.learning_rate = 3e-3;
    options.with_collapse_monitors = true;
    const train::StepResult first = model.step(batch, options, running);
    for (int i = 0; i < 60; ++i) model.step(batch, options, running);
    const train::StepResult last = model.step(batch, options, running);
    EXPECT(*last.latent_loss < 0.8 * *first.latent_loss);
    EXPECT(std::isfinite(last.collapse->copy_context_loss) && last.collapse->target_std > 0);
  };
  const auto model_with = [](const model::PredictorOptions& predictor) {
    return train::WorldModel({.config = config_of(true), .predictor = predictor, .seed = 5});
  };
  const PlainBatch state = random_batch(2, 24, train::BranchKind::kState);
  const PlainBatch views = random_batch(2, 24, train::BranchKind::kViews);
  const PlainBatch masked = random_batch(2, 24, train::BranchKind::kCausal);
  train::StepOptions two_views;
  two_views.latent.target = train::TargetKind::kViews;
  two_views.latent.loss = objective::LatentLossKind::kCosine;
  train::WorldModel from_state = model_with(state_predictor), identity = model_with({}),
                    transformer = model_with(transformer_predictor);
  last_loss(from_state, state, {});
  last_loss(transformer, masked, {});
  last_loss(identity, views, two_views);
  const std::vector<train::WorldModelBatch> wrong = {masked.packed(vocabulary)}, right = {state.packed(vocabulary)};
  EXPECT_THROWS(from_state.step(wrong, {}, running), "must be given no branch rows");
  EXPECT_THROWS(transformer.step(right, {}, running), "must have a branch row each but have none");
  EXPECT_THROWS(identity.step(wrong, two_views, running), "the target must be views exactly when the branches are");

  const at::Tensor states = at::randn({3, 12}), days = at::tensor({1.0F, 30.0F, 365.0F}, at::kFloat);
  const at::Tensor predicted = from_state.predict_latent(states, days);
  EXPECT(predicted.sizes() == at::IntArrayRef({3, 12}) && predicted.scalar_type() == at::kFloat);
  EXPECT(predicted.equal(from_state.predict_latent(states, days)));
  EXPECT(!predicted.requires_grad());
  EXPECT_THROWS(transformer.predict_latent(states, days), "need a transformer predictor that starts from the state");
  EXPECT_THROWS(identity.predict_latent(states, days), "need a transformer predictor that starts from the state");
}

TEST("step: predictions are those that predict_latent makes of the encoder's states") {
  const PlainBatch plain = random_batch(6, 24, train::BranchKind::kState);
  const train::WorldModelBatch batch = plain.packed(vocabulary);
  train::WorldModel model({.config = config_of(true), .predictor = state_predictor, .seed = 5});
  const at::NoGradGuard no_grad;
  const at::Tensor hidden = model::qwen3_forward(model.encoder(), model.config(), batch.packed, running);
  const at::Tensor predicted =
      model.predict_latent(hidden.index_select(0, at::tensor(batch.context_rows, at::kLong)), batch.days);
  const at::Tensor target = objective::normalise_target(
      model::qwen3_forward(model.training().target_encoder.weights(), model.config(), batch.packed, running)
          .index_select(0, at::tensor(batch.target_rows, at::kLong)));
  EXPECT_CLOSE(*model.losses(batch, {}, running).latent_loss, objective::latent_loss(predicted, target).item<double>(),
               1e-5);
}

TEST("batch: branches that break a rule are refused") {
  PlainBatch state = leak_batch(train::BranchKind::kState);
  state.branches[0].days[1] = -1;
  EXPECT_THROWS(state.packed(vocabulary), "branch days must be finite and not negative but row 1 holds -1");
  state = leak_batch(train::BranchKind::kState);
  state.branches[1].targets[0] = 2;
  EXPECT_THROWS(state.packed(vocabulary), "branch targets must lie behind the cut");
  state = leak_batch(train::BranchKind::kState);
  state.branches[0].tokens = {1};
  EXPECT_THROWS(state.packed(vocabulary), "must have a token and a position id each (0) but have 1 and 0");
  PlainBatch views = random_batch(3, 12, train::BranchKind::kViews);
  views.predictor_tokens = 100;
  EXPECT_THROWS(views.packed(vocabulary), "predictor_tokens must leave the second view a row but are 100");
  views = random_batch(3, 12, train::BranchKind::kViews);
  views.branches[0].targets[0] = 11;
  EXPECT_THROWS(views.packed(vocabulary), "branch targets must be -1 with two views");
}

TEST("step: interference is the cosine of the two gradients, and the update is the same") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  train::LossOptions options;
  train::WorldModel model = model_of();
  const train::Gradients together = model.gradients(batch, options, running);
  EXPECT(!together.losses.interference.has_value());
  options.with_interference = true;
  const train::Gradients apart = model.gradients(batch, options, running);
  EXPECT_LE(relative(flat(apart.values), flat(together.values)), 1e-5);
  options.with_interference = false;
  const std::size_t shared = model.encoder_tensors().size();
  const auto encoder_gradient = [&](double next_token, double latent) {
    options.next_token_weight = next_token;
    options.latent_weight = latent;
    std::vector<at::Tensor> gradients = model.gradients(batch, options, running).values;
    gradients.resize(shared);
    for (at::Tensor& gradient : gradients) EXPECT(gradient.defined());
    return flat(gradients);
  };
  const at::Tensor a = encoder_gradient(1, 0), b = encoder_gradient(0, 1);
  EXPECT_CLOSE(*apart.losses.interference, (a.dot(b) / (a.norm() * b.norm())).item<double>(), 1e-4);
}

TEST("step: the target encoder restarts from the encoder, and a momentum of 1 freezes it") {
  const std::vector<train::WorldModelBatch> batch = {random_batch(2, 24).packed(vocabulary)};
  train::WorldModel model = model_of();
  train::StepOptions options;
  options.optimizer.learning_rate = 3e-3;
  options.momentum = 1.0;
  const at::Tensor initial = model.training().target_encoder.weights().norm.clone();
  const at::Tensor first = model.training().target_encoder.weights().embed_tokens.clone();
  for (int i = 0; i < 3; ++i) model.step(batch, options, running);
  EXPECT(model.training().target_encoder.weights().embed_tokens.equal(first));
  const at::Tensor encoder = model.encoder().embed_tokens.detach().clone();
  options.restart_target = true;
  model.step(batch, options, running);
  EXPECT(model.training().target_encoder.weights().embed_tokens.equal(encoder));
}

TEST("latent losses: values worked out by hand, gradients in float64") {
  const at::Tensor z = at::tensor({3.0, 0.0, 0.0, 0.5}, at::kDouble).view({2, 2});
  const at::Tensor y = at::tensor({1.0, 0.0, 0.0, 1.0}, at::kDouble).view({2, 2});
  using objective::LatentLossKind;
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

}  // namespace
