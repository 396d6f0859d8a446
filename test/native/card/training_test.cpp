#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include "api/engine.h"
#include "infer/encoder.h"
#include "infer/score.h"
#include "memory/device.h"
#include "native/card/waits.h"
#include "native/check.h"
#include "native/training_cases.h"

// Training on a card, every way of it, against the CPU.
namespace card_training_test {
namespace {

using namespace ehrjepa;
using namespace ehrjepa::test;

const std::atomic<bool> running{false};

/// The small network of the tests, and one whose heads our attention kernels compute in bfloat16.
std::vector<TrainingCase> cases_on_cards() {
  std::vector<TrainingCase> result = training_cases();
  if (!card::has_time_for_all()) return {result[2], result[15]};
  for (TrainingCase c : training_cases()) {
    if (c.name == "from the state" || c.name == "transformer predictor") continue;
    c.name += ", heads of 64";
    c.engine.config.hidden_size = 128;
    c.engine.config.intermediate_size = 192;
    c.engine.config.head_dim = 64;
    c.engine.config.initializer_range = 0.05;
    result.push_back(c);
  }
  return result;
}

template <typename Run>
void named(const TrainingCase& c, const Run& run) {
  try {
    run();
  } catch (const std::exception& error) {
    check::fail(__FILE__, __LINE__, c.name + ": " + error.what());
  }
}

std::vector<at::Tensor> on_host(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& tensor : tensors) result.push_back(tensor.to(at::kCPU).clone());
  return result;
}

TEST("a card: every objective takes the CPU's steps in float32, and the host waits once in each") {
  card::require();
  for (const TrainingCase& c : cases_on_cards()) {
    named(c, [&] {
      train::WorldModel host = model_on(c.engine, "cpu"), device = model_on(c.engine, "cuda:0");
      const std::vector<train::WorldModelBatch> on_cpu = batches_of(c, at::kCPU),
                                                on_card = batches_of(c, device.device());
      StepOptions options = c.step;
      for (options.step = 0; options.step < 3; ++options.step) {
        options.restart_target = options.step == 1;
        const StepResult expected = train::step(host, on_cpu, options, running);
        StepResult found;
        const std::int64_t waits = card::waits_in([&] { found = train::step(device, on_card, options, running); });
        // In the first step ways of attention may be timed.
        if (options.step > 0 && waits != 1)
          check::fail(__FILE__, __LINE__, "the host waited " + std::to_string(waits) + " times in a step");
        EXPECT_CLOSE(found.loss, expected.loss, 1e-4 * std::abs(expected.loss));
        EXPECT_CLOSE(found.gradient_norm, expected.gradient_norm, 1e-3 * expected.gradient_norm);
      }
      const std::vector<at::Tensor> found = on_host(state_of(device)), expected = state_of(host);
      EXPECT(found.size() == expected.size());
      // Adam divides by the gradient's own size: one that is rounding alone may turn either way, as far as three steps
      // of the learning rate go.
      for (std::size_t i = 0; i < found.size(); ++i)
        EXPECT_LE((found[i] - expected[i]).abs().max().item<double>(), 0.02);
    });
  }
}

TEST("a card: bfloat16 steps are near the CPU's, and the same bits when they are taken again") {
  card::require();
  for (TrainingCase c : cases_on_cards()) {
    c.engine.compute_dtype = Dtype::kBfloat16;
    c.engine.parameter_dtype =
        c.step.optimizer.matrix_update == MatrixUpdate::kMuon ? Dtype::kFloat32 : Dtype::kBfloat16;
    c.engine.stochastic_rounding = c.engine.parameter_dtype == Dtype::kBfloat16 && !c.engine.lora;
    named(c, [&] {
      train::WorldModel host = model_on(c.engine, "cpu");
      StepOptions options = c.step;
      const StepResult expected = train::step(host, batches_of(c, at::kCPU), options, running);
      std::vector<std::vector<at::Tensor>> states;
      for (int run = 0; run < 2; ++run) {
        train::WorldModel device = model_on(c.engine, "cuda:0");
        const std::vector<train::WorldModelBatch> batches = batches_of(c, device.device());
        for (options.step = 0; options.step < 3; ++options.step) {
          const StepResult found = train::step(device, batches, options, running);
          if (options.step == 0) EXPECT_CLOSE(found.loss, expected.loss, 0.03 * std::abs(expected.loss));
          EXPECT(std::isfinite(found.loss));
        }
        states.push_back(on_host(state_of(device)));
      }
      for (std::size_t i = 0; i < states[0].size(); ++i) EXPECT(states[0][i].equal(states[1][i]));
    });
  }
}

TEST("a card: states and scores are the CPU's in float32") {
  card::require();
  const TrainingCase c = training_cases()[3];
  const train::WorldModel host = model_on(c.engine, "cpu"), device = model_on(c.engine, "cuda:0");
  const model::PackedTokens on_cpu = batches_of(c, at::kCPU)[0].packed.trunk();
  const model::PackedTokens on_card = batches_of(c, device.device())[0].packed.trunk();
  const std::vector<std::int32_t> ends(on_cpu.layout.cu_seqlens.begin() + 1, on_cpu.layout.cu_seqlens.end());
  const std::vector<std::int32_t> layers = {0, 1, 2};
  for (const Pooling pooling : {Pooling::kLast, Pooling::kMean, Pooling::kRecent}) {
    const auto states = [&](const train::WorldModel& model, const model::PackedTokens& tokens) {
      return infer::embed(model.encoder(), model.config(), at::kFloat, tokens, ends, pooling, layers, running)
          .to(at::kCPU)
          .to(at::kDouble);
    };
    EXPECT_LE(relative(states(device, on_card), states(host, on_cpu)), 1e-5);
  }
  const auto scores = [&](const train::WorldModel& model, const model::PackedTokens& tokens) {
    return infer::score(model.encoder(), model.config(), at::kFloat, tokens, false, running)
        .log_probabilities.to(at::kCPU)
        .to(at::kDouble);
  };
  EXPECT_LE(relative(scores(device, on_card), scores(host, on_cpu)), 1e-5);
}

constexpr StateKind parts[] = {StateKind::kEncoder, StateKind::kTargetEncoder, StateKind::kPredictor,
                               StateKind::kOptimizer};

/// A checkpoint in files of a folder that is gone afterwards.
struct Checkpoint {
  std::string folder;
  explicit Checkpoint(const std::string& name)
      : folder((std::filesystem::temp_directory_path() / ("ehrjepa-" + std::to_string(::getpid()) + name)).string()) {
    std::filesystem::create_directory(folder);
  }
  ~Checkpoint() { std::filesystem::remove_all(folder); }
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  std::string path(StateKind part) const { return folder + "/" + std::to_string(static_cast<int>(part)); }
  std::string bytes(StateKind part) const {
    std::ifstream file(path(part), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(api::Engine& engine) const {
    const std::shared_ptr<api::Snapshot> snapshot = engine.snapshot({std::begin(parts), std::end(parts)});
    for (const StateKind part : parts) snapshot->write(part, path(part), {});
  }
  void read(api::Engine& engine) const {
    for (const StateKind part : parts) engine.load(part, entries(part), Placement::kOwned);
  }
  /// As TypeScript reads them from the header.
  std::vector<TensorEntry> entries(StateKind part) const {
    const std::string file = bytes(part);
    std::uint64_t length = 0;
    std::copy_n(file.data(), sizeof length, reinterpret_cast<char*>(&length));
    const std::string header = file.substr(8, length);
    const std::regex entry(R"re("([^"]+)":\{"dtype":"(\w+)","shape":\[([\d, ]*)\],"data_offsets":\[(\d+),(\d+)\]\})re");
    std::vector<TensorEntry> result;
    for (std::sregex_iterator found(header.begin(), header.end(), entry), end; found != end; ++found) {
      const std::smatch& match = *found;
      std::vector<std::int64_t> shape;
      const std::string sizes = match[3];
      for (std::size_t at = 0; at < sizes.size();
           at = sizes.find(',', at) == std::string::npos ? sizes.size() : sizes.find(',', at) + 1) {
        shape.push_back(std::stoll(sizes.substr(at)));
      }
      EXPECT(match[2] == "F32");
      result.push_back({match[1], path(part), Dtype::kFloat32, shape, 8 + length + std::stoull(match[4]),
                        8 + length + std::stoull(match[5])});
    }
    EXPECT(result.size() > 3);
    return result;
  }
};

TEST("a card: a resumed run ends with the bytes of one that was not broken off, and goes on on the CPU") {
  card::require();
  EngineOptions engine{.config = config_of(true), .predictor = mlp_predictor, .seed = 5};
  StepOptions options = training_cases()[2].step;
  const auto train = [&](api::Engine& model, std::uint32_t from, std::uint32_t to) {
    double loss = 0.0;
    for (options.step = from; options.step < to; ++options.step) {
      loss = model
                 .step({random_batch(2 + 16 * options.step, 24, BranchKind::kIsolated).for_training()}, options, {},
                       running)
                 .loss;
    }
    return loss;
  };
  engine.device = "cuda:0";
  const Checkpoint middle("-middle"), whole("-whole"), resumed("-resumed");
  double expected = 0.0;
  {
    api::Engine model(engine);
    train(model, 0, 2);
    middle.write(model);
    expected = train(model, 2, 4);
    whole.write(model);
  }
  {
    api::Engine model(engine);
    middle.read(model);
    train(model, 2, 4);
    resumed.write(model);
  }
  for (const StateKind part : parts) EXPECT(resumed.bytes(part) == whole.bytes(part));
  engine.device = "cpu";
  api::Engine model(engine);
  middle.read(model);
  EXPECT_CLOSE(train(model, 2, 4), expected, 1e-3 * std::abs(expected));
}

}  // namespace
}  // namespace card_training_test
