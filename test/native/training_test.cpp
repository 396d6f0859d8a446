#include <ATen/ATen.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/random.h"
#include "io/safetensors.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "native/two_pass.h"
#include "objective/collapse/monitors.h"
#include "objective/latent.h"
#include "objective/next_token.h"
#include "solve/logistic.h"
#include "train/muon.h"
#include "train/step.h"

namespace training_test {
namespace {

using namespace ehrjepa;

const std::atomic<bool> running{false};
const std::atomic<bool> stopped{true};

Qwen3Config small_config() {
  return {.vocab_size = 31,
          .hidden_size = 16,
          .intermediate_size = 32,
          .num_hidden_layers = 2,
          .num_attention_heads = 2,
          .num_key_value_heads = 1,
          .head_dim = 8,
          .rope_theta = 1e4,
          .initializer_range = 0.1};
}

EngineOptions options_of(Dtype compute_dtype) {
  return {.config = small_config(),
          .predictor = {.kind = PredictorKind::kMlp, .width = 32},
          .compute_dtype = compute_dtype,
          .seed = 3};
}

train::WorldModelBatch small_batch() {
  std::vector<std::int32_t> tokens, positions;
  for (int s = 0; s < 3; ++s) {
    for (int i = 0; i < 10; ++i) {
      tokens.push_back((s * 7 + i * 3) % 30);
      positions.push_back(i);
    }
  }
  // The last rows of each sequence once more, every second one masked by token 30.
  const std::vector<std::int32_t> cuts = {5, 6, 4};
  std::vector<std::int32_t> cu_rows = {0}, branch_tokens, branch_positions, targets;
  for (int s = 0; s < 3; ++s) {
    for (int i = cuts[static_cast<std::size_t>(s)]; i < 10; ++i) {
      const bool masked = i % 2 == 0;
      branch_tokens.push_back(masked ? 30 : tokens[static_cast<std::size_t>(10 * s + i)]);
      branch_positions.push_back(i);
      targets.push_back(masked ? 10 * s + i : -1);
    }
    cu_rows.push_back(static_cast<std::int32_t>(branch_tokens.size()));
  }
  return train::world_model_batch(model::packed_tokens(tokens, std::vector<std::int32_t>{0, 10, 20, 30}, positions, 31),
                                  cuts,
                                  {std::vector<std::int32_t>{0, 1, 2}, cuts, cu_rows, branch_tokens, branch_positions,
                                   targets, std::vector<float>(targets.size(), 1.0F)},
                                  ScoredLabels::kFuture, 31);
}

StepOptions step_options() {
  StepOptions options;
  options.optimizer.learning_rate = 3e-3;
  return options;
}

TEST("next-token loss: value worked out by hand, gradient in float64") {
  const at::Tensor hidden = at::tensor({1.0, 0.0, 0.0, 2.0}, at::kDouble).view({2, 2});
  const at::Tensor head = at::tensor({1.0, 0.0, 0.0, 1.0, 1.0, 1.0}, at::kDouble).view({3, 2});
  const at::Tensor labels = at::tensor({0, 2}, at::kLong);
  // logits (1, 0, 1) and (0, 2, 2)
  const double first = -(1.0 - std::log(std::exp(1.0) + 1.0 + std::exp(1.0)));
  const double second = -(2.0 - std::log(1.0 + 2.0 * std::exp(2.0)));
  EXPECT_CLOSE(objective::next_token_loss(hidden, head, labels).item<double>(), (first + second) / 2, 1e-12);
  EXPECT_LE(gradcheck([&](const auto& in) { return objective::next_token_loss(in[0], in[1], labels); }, {hidden, head}),
            1e-7);
  EXPECT_THROWS(objective::next_token_loss(hidden.slice(0, 0, 0), head, labels.slice(0, 0, 0)),
                "at least one scored token");
}

TEST("latent loss: targets are normalised and take no gradient; gradient of the prediction in float64") {
  at::manual_seed(1);
  const at::Tensor hidden = at::randn({5, 8}, at::kDouble) * 7 + 3;
  const at::Tensor leaf = hidden.clone().requires_grad_(true);
  const at::Tensor target = objective::normalise_target(leaf);
  EXPECT(!target.requires_grad());
  EXPECT_LE(target.mean(1).abs().max().item<double>(), 1e-12);
  EXPECT_LE((target.square().mean(1) - 1).abs().max().item<double>(), 1e-5);
  EXPECT_CLOSE(objective::latent_loss(at::zeros_like(target), target).item<double>(),
               target.square().mean().item<double>(), 1e-12);
  EXPECT_LE(gradcheck([&](const auto& in) { return objective::latent_loss(in[0], target); },
                      {at::randn({5, 8}, at::kDouble)}),
            1e-7);
}

TEST("collapse monitors: equal vectors are collapsed, orthogonal ones are not") {
  const at::Tensor ones = at::ones({6, 4}, at::kDouble);
  EXPECT_CLOSE(objective::standard_deviation(ones).item<double>(), 0.0, 1e-12);
  EXPECT_CLOSE(objective::mean_cosine(ones).item<double>(), 1.0, 1e-12);
  EXPECT_CLOSE(objective::effective_rank(objective::gram_matrix(ones)), 1.0, 1e-12);
  const at::Tensor axes = at::cat({at::eye(4, at::kDouble), -at::eye(4, at::kDouble)});
  EXPECT_CLOSE(objective::effective_rank(objective::gram_matrix(axes)), 4.0, 1e-9);
  // Each vector meets its negative once in seven others, and is orthogonal to the rest.
  EXPECT_CLOSE(objective::mean_cosine(axes).item<double>(), -1.0 / 7, 1e-12);
  const objective::LatentReading reading{.prediction_MD = axes,
                                         .target_MD = axes,
                                         .loss_target_MD = axes,
                                         .context_state_MD = at::zeros_like(axes),
                                         .loss = LatentLossKind::kMse,
                                         .beta = 1.0,
                                         .target_encoder_distance = at::scalar_tensor(0.5, at::kDouble)};
  EXPECT_CLOSE(objective::batch_mean_loss(reading).item<double>(), 0.25, 1e-12);
  EXPECT_CLOSE(objective::copy_context_loss(reading).item<double>(), 0.25, 1e-12);
  const NamedNumbers all = objective::collapse_numbers(objective::measure_collapse(reading));
  EXPECT(all.size() == std::size(objective::collapse_monitors));
  EXPECT(all.back() == std::make_pair(std::string("target_encoder_distance"), 0.5));
}

TEST("collapse: the effective rank of many positions is that of 256 of them, evenly spaced") {
  at::manual_seed(2);
  // Three features of equal strength among 16.
  const at::Tensor many = at::constant_pad_nd(at::randn({900, 3}, at::kDouble), {0, 13});
  EXPECT_CLOSE(objective::effective_rank(objective::gram_matrix(many)), 3.0, 0.05);
  EXPECT_CLOSE(objective::effective_rank(objective::gram_matrix(many.repeat_interleave(4, 0).slice(0, 0, 1024))),
               objective::effective_rank(objective::gram_matrix(many.slice(0, 0, 256))), 1e-9);
}

TEST("step: both losses fall on one batch; the target encoder follows") {
  train::WorldModel model(options_of(Dtype::kFloat32));
  const train::WorldModelBatch batch = small_batch();
  StepOptions options = step_options();
  options.with_collapse_monitors = true;
  const StepResult first = train::step(model, {&batch, 1}, options, running);
  for (int i = 0; i < 60; ++i) train::step(model, {&batch, 1}, options, running);
  const StepResult last = train::step(model, {&batch, 1}, options, running);
  EXPECT(*last.next_token_loss < 0.5 * *first.next_token_loss);
  EXPECT(*last.latent_loss < *first.latent_loss);
  EXPECT(monitor(last, "target_encoder_distance") > 0);
  EXPECT(first.gradient_norm > 0);
}

TEST("step: bfloat16 follows float32") {
  train::WorldModel wide(options_of(Dtype::kFloat32));
  train::WorldModel narrow(options_of(Dtype::kBfloat16));
  const train::WorldModelBatch batch = small_batch();
  for (int i = 0; i < 20; ++i) {
    const double a = train::step(wide, {&batch, 1}, step_options(), running).loss;
    const double b = train::step(narrow, {&batch, 1}, step_options(), running).loss;
    EXPECT_CLOSE(a, b, 0.05 * a);
  }
}

TEST("step: an SFT step leaves predictor, its moments and the target encoder alone") {
  train::WorldModel model(options_of(Dtype::kFloat32));
  const at::Tensor predictor = model.training().predictor.named().front().tensor.detach().clone();
  const at::Tensor target = model.training().target_encoder().weights().norm.clone();
  StepOptions options = step_options();
  options.latent_weight = 0;
  const train::WorldModelBatch batch = small_batch();
  const StepResult result = train::step(model, {&batch, 1}, options, running);
  EXPECT(!result.latent_loss.has_value());
  EXPECT(model.training().predictor.named().front().tensor.equal(predictor));
  EXPECT(model.training().target_encoder().weights().norm.equal(target));
}

TEST("step: a cancelled step and one with a loss that is not finite change nothing") {
  train::WorldModel model(options_of(Dtype::kFloat32));
  const train::WorldModelBatch batch = small_batch();
  train::step(model, {&batch, 1}, step_options(), running);
  std::vector<at::Tensor> before;
  for (const auto& p : model.encoder().named(model.config())) before.push_back(p.tensor.detach().clone());
  for (const auto& p : model.training().optimizer().state()) before.push_back(p.tensor.clone());
  EXPECT_THROWS(train::step(model, {&batch, 1}, step_options(), stopped), "cancelled");
  StepOptions broken = step_options();
  broken.latent_weight = INFINITY;
  EXPECT_THROWS(train::step(model, {&batch, 1}, broken, running), "loss must be finite but is inf");
  std::size_t i = 0;
  for (const auto& p : model.encoder().named(model.config())) EXPECT(p.tensor.equal(before[i++]));
  for (const auto& p : model.training().optimizer().state()) EXPECT(p.tensor.equal(before[i++]));
}

TEST("optimizer: matrices decay, norms and biases do not") {
  const at::Tensor matrix = at::ones({2, 2});
  const at::Tensor norm = at::ones({2});
  train::Optimizer optimizer({{"matrix", matrix}, {"norm", norm}});
  optimizer.step({at::zeros({2, 2}), at::zeros({2})}, {.optimizer = {.learning_rate = 0.1, .weight_decay = 0.5}});
  EXPECT_CLOSE(matrix[0][0].item<double>(), 1 - 0.1 * 0.5, 1e-6);
  EXPECT_CLOSE(norm[0].item<double>(), 1.0, 0);
}

TEST("optimizer: two steps of AdamW by hand, and clipping by the global norm") {
  const at::Tensor parameter = at::full({1}, 2.0);
  train::Optimizer optimizer({{"p", parameter}});
  const OptimizerOptions options{
      .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.0};
  double p = 2.0, m = 0, v = 0;
  for (int step = 1; step <= 2; ++step) {
    const double g = 3.0 * step;
    optimizer.step({at::full({1}, g)}, {.optimizer = options});
    optimizer.count_updates();
    m = 0.9 * m + 0.1 * g;
    v = 0.95 * v + 0.05 * g * g;
    p -= 0.01 * (m / (1 - std::pow(0.9, step))) / (std::sqrt(v / (1 - std::pow(0.95, step))) + 1e-8);
  }
  EXPECT_CLOSE(parameter.item<double>(), p, 1e-6);
  EXPECT_CLOSE(train::gradient_norm({at::tensor({3.0f}), at::Tensor(), at::tensor({4.0f})}).item<double>(), 5.0, 0);
  const auto scale = [](double norm, double limit) {
    return train::clip_scale(at::scalar_tensor(norm, at::kDouble), limit).item<double>();
  };
  EXPECT_CLOSE(scale(5.0, 1.0), 0.2, 0);
  EXPECT_CLOSE(scale(0.5, 1.0), 1.0, 0);
  EXPECT_CLOSE(scale(5.0, 0.0), 1.0, 0);
  EXPECT(std::isnan(scale(std::numeric_limits<double>::infinity(), 1.0)));
  EXPECT(std::isnan(scale(std::numeric_limits<double>::quiet_NaN(), 0.0)));
}

TEST(
    "muon: orthogonalised has singular values near 1, for wide, tall and square matrices, and keeps their directions") {
  for (const auto& shape : {std::array<std::int64_t, 2>{16, 48}, {48, 16}, {32, 32}}) {
    at::manual_seed(3);
    // Well-conditioned: five steps lift singular values from about 0.02 of the norm.
    const at::Tensor basis = std::get<0>(at::linalg_qr(at::randn({shape[0], std::min(shape[0], shape[1])}), "reduced"));
    const at::Tensor other = std::get<0>(at::linalg_qr(at::randn({shape[1], std::min(shape[0], shape[1])}), "reduced"));
    const at::Tensor sizes = at::linspace(0.2, 3.0, basis.size(1));
    const at::Tensor matrix = (basis * sizes).matmul(other.t());
    const at::Tensor result = train::orthogonalised(matrix);
    const at::Tensor values = at::linalg_svdvals(result);
    EXPECT(values.min().item<double>() > 0.65 && values.max().item<double>() < 1.25);
    // The same singular vectors: the result is diagonal between them.
    const at::Tensor between = basis.t().matmul(result).matmul(other);
    EXPECT_CLOSE((between - at::diag(between.diagonal())).abs().max().item<double>(), 0.0, 1e-5);
  }
  EXPECT(train::orthogonalised(at::zeros({4, 6})).equal(at::zeros({4, 6})));
}

TEST("muon: multiplied in bfloat16 the result is the same within its rounding, on any processor") {
  at::manual_seed(6);
  for (const bool tall : {false, true}) {
    const at::Tensor matrix = tall ? at::randn({96, 40}) : at::randn({40, 96});
    const at::Tensor exact = train::orthogonalised(matrix);
    const at::Tensor rounded = train::orthogonalised(matrix, at::kBFloat16);
    EXPECT(rounded.scalar_type() == at::kFloat);
    EXPECT(!rounded.equal(exact));
    EXPECT((rounded - exact).norm().item<double>() < 0.05 * exact.norm().item<double>());
    const at::Tensor values = at::linalg_svdvals(rounded);
    EXPECT(values.min().item<double>() > 0.6 && values.max().item<double>() < 1.3);
  }
}

TEST("muon: matrices alone are updated by it, with the size of an AdamW step; the rest and the target as by AdamW") {
  at::manual_seed(4);
  const std::vector<std::string> names{"model.layers.0.mlp.up_proj", "model.embed_tokens", "lm_head", "norm",
                                       "mask_token"};
  std::vector<at::Tensor> values{at::randn({24, 8}), at::randn({24, 8}), at::randn({24, 8}), at::randn({8}),
                                 at::randn({1, 8})};
  std::vector<io::NamedTensor> by_muon, by_adamw;
  std::vector<at::Tensor> gradients;
  for (std::size_t i = 0; i < names.size(); ++i) {
    by_muon.push_back({names[i], values[i].clone()});
    by_adamw.push_back({names[i], values[i].clone()});
    gradients.push_back(at::randn_like(values[i]));
  }
  const at::Tensor target = values[0].clone();
  train::Optimizer muon(by_muon, {{names[0], target}}), adamw(by_adamw);
  OptimizerOptions options{.learning_rate = 0.01, .weight_decay = 0.1};
  adamw.step(gradients, {.optimizer = options});
  options.matrix_update = MatrixUpdate::kMuon;
  muon.step(gradients, {.optimizer = options, .momentum = 0.9});
  for (std::size_t i = 1; i < names.size(); ++i) EXPECT(by_muon[i].tensor.equal(by_adamw[i].tensor));
  // By hand: the first moment is (1 - mu) g, and what is orthogonalised points along g.
  const at::Tensor expected =
      values[0] * (1 - 0.01 * 0.1) - train::orthogonalised(gradients[0]) * (0.01 * 0.2 * std::sqrt(24.0));
  EXPECT_CLOSE((by_muon[0].tensor - expected).abs().max().item<double>(), 0.0, 1e-6);
  EXPECT_CLOSE((target - (0.9 * values[0] + 0.1 * by_muon[0].tensor)).abs().max().item<double>(), 0.0, 1e-6);
  const double step = (by_muon[0].tensor - values[0] * (1 - 0.001)).square().mean().sqrt().item<double>();
  EXPECT(step > 0.1 * 0.01 && step < 0.4 * 0.01);
  // A second step uses the moment: gradients of 0 move on.
  const at::Tensor before = by_muon[0].tensor.clone();
  muon.step({at::zeros({24, 8}), {}, {}, {}, {}}, {.optimizer = options});
  EXPECT(!by_muon[0].tensor.equal(before * (1 - 0.001)));
}

TEST("muon: a matrix that is not float32 is refused before a step begins") {
  const train::Optimizer optimizer({{"matrix", at::ones({4, 4}, at::kBFloat16)}});
  EXPECT_THROWS(optimizer.require({.learning_rate = 0.1, .matrix_update = MatrixUpdate::kMuon}),
                "[optimizer] matrixUpdate muon needs float32 parameters but matrix is bfloat16; use adamw");
  optimizer.require({.learning_rate = 0.1});
}

TEST("random: known words of Philox4x32-10, uniform mean, normal moments") {
  // Known answers of Salmon et al. (Random123 kat_vectors).
  EXPECT((philox4x32({0, 0, 0, 0}, {0, 0}) ==
          std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT((philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          std::array<std::uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
  RandomStream random(5, RandomPurpose::kInitialisation, 2);
  double sum = 0, squares = 0;
  for (int i = 0; i < 20'000; ++i) {
    const double value = random.normal();
    sum += value;
    squares += value * value;
  }
  EXPECT_CLOSE(sum / 20'000, 0.0, 0.03);
  EXPECT_CLOSE(squares / 20'000, 1.0, 0.03);
}

struct TemporaryFile {
  std::string path;
  explicit TemporaryFile(const std::string& name)
      : path((std::filesystem::temp_directory_path() / ("ehrjepa-" + std::to_string(::getpid()) + name)).string()) {}
  ~TemporaryFile() { std::remove(path.c_str()); }
  std::uint64_t data_start() const {
    std::ifstream file(path, std::ios::binary);
    std::uint64_t header = 0;
    file.read(reinterpret_cast<char*>(&header), 8);
    return 8 + header;
  }
};

TEST("safetensors: round trip is exact; a file that does not fit changes nothing") {
  const TemporaryFile file("roundtrip.safetensors");
  const std::string& path = file.path;
  const at::Tensor a = at::randn({3, 4}), b = at::randn({});
  io::write_safetensors(path, {{"a", a}, {"b", b}}, {{"quote", "say \"hi\"\n"}});
  const std::uint64_t data = file.data_start();
  EXPECT(data % 64 == 0);
  const at::Tensor a2 = at::zeros({3, 4}), b2 = at::zeros({});
  io::copy_safetensors(
      {{"a", path, Dtype::kFloat32, {3, 4}, data, data + 48}, {"b", path, Dtype::kFloat32, {}, data + 48, data + 52}},
      {{"a", a2}, {"b", b2}});
  EXPECT(a.equal(a2));
  EXPECT(b.equal(b2));
  const at::Tensor untouched = at::zeros({3, 4});
  EXPECT_THROWS(io::copy_safetensors({{"a", path, Dtype::kFloat32, {3, 4}, data, data + 48},
                                      {"b", path, Dtype::kFloat32, {}, data + 48, data + 56}},
                                     {{"a", untouched}, {"b", at::zeros({})}}),
                "tensor b must span 4 bytes");
  EXPECT(untouched.equal(at::zeros({3, 4})));
  EXPECT_THROWS(io::copy_safetensors({{"a", path, Dtype::kFloat32, {4, 3}, data, data + 48}}, {{"a", untouched}}),
                "must have shape [3, 4] but has [4, 3]");
  EXPECT_THROWS(io::copy_safetensors({}, {{"a", untouched}}), "tensor a is missing");
  EXPECT_THROWS(io::write_safetensors("/nowhere/x.safetensors", {{"a", a}}, {}), "No such file or directory");
}

TEST("safetensors: every pair of stored and wanted dtype, owned and mapped, aligned or not") {
  const at::Tensor values = at::randn({5, 7});
  for (const auto& [dtype, stored] :
       {std::pair{Dtype::kFloat32, at::kFloat}, {Dtype::kFloat16, at::kHalf}, {Dtype::kBfloat16, at::kBFloat16}}) {
    const std::string name(name_of(dtype));
    const TemporaryFile file(name + ".safetensors");
    io::write_safetensors(file.path, {{"x", values}}, {}, dtype);
    const std::uint64_t begin = file.data_start();
    const std::uint64_t bytes = 35 * c10::elementSize(stored);
    const TemporaryFile shifted(name + "-shifted.safetensors");
    {
      std::ifstream from(file.path, std::ios::binary);
      std::ofstream to(shifted.path, std::ios::binary);
      to.put('x');
      to << from.rdbuf();
    }
    for (const at::ScalarType wanted : {at::kFloat, at::kBFloat16}) {
      const at::Tensor expected = values.to(stored).to(wanted);
      for (const auto placement : {Placement::kOwned, Placement::kMapped}) {
        for (const auto& [path, offset] : {std::pair{file.path, std::uint64_t{0}}, {shifted.path, std::uint64_t{1}}}) {
          const TensorEntry entry{"x", path, dtype, {5, 7}, begin + offset, begin + offset + bytes};
          EXPECT(io::read_safetensors({entry}, {{"x", values}}, wanted, placement)[0].equal(expected));
        }
      }
    }
  }
}

TEST("safetensors: a mapped tensor outlives the call, and writing to it leaves the file alone") {
  const TemporaryFile file("mapped.safetensors");
  const at::Tensor values = at::randn({1000});
  io::write_safetensors(file.path, {{"x", values}}, {});
  const std::uint64_t begin = file.data_start();
  const TensorEntry entry{"x", file.path, Dtype::kFloat32, {1000}, begin, begin + 4000};
  const auto read = [&] { return io::read_safetensors({entry}, {{"x", values}}, at::kFloat, Placement::kMapped)[0]; };
  const at::Tensor mapped = read();
  EXPECT(mapped.equal(values));
  mapped.zero_();
  EXPECT(read().equal(values));
}

}  // namespace
}  // namespace training_test
