// What does the latent objective cost on top of a next-token step, packed and in two passes?
#include "native/train_step.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <stdexcept>
#include <vector>

#include "memory/caching_allocator.h"
#include "memory/device.h"
#include "native/two_pass.h"
#include "train/optimizer.h"
#include "train/step.h"

namespace bench {
namespace {

using namespace ehrjepa;

const std::atomic<bool> running{false};

// Layers of Qwen3-1.7B's shape, and of its vocabulary the share that the layers are of 28: the head weighs as it does
// there.
Qwen3Config shape_of(std::int64_t layers) {
  return {.vocab_size = 151'936 * layers / 28,
          .hidden_size = 2048,
          .intermediate_size = 6144,
          .num_hidden_layers = layers,
          .num_attention_heads = 16,
          .num_key_value_heads = 8,
          .head_dim = 128};
}

/// Patients: half context, half future; the latent branch has all of the future, or a query for every 20th token.
void add_patient(PlainBatch& batch, std::int64_t tokens, bool query, std::int64_t vocabulary) {
  const auto number = static_cast<std::int32_t>(batch.sequences.size());
  std::vector<std::int32_t>& sequence = batch.sequences.emplace_back();
  for (std::int64_t i = 0; i < tokens; ++i)
    sequence.push_back(static_cast<std::int32_t>(((i + 31 * number) * 7919) % (vocabulary - 1)));
  const auto cut = static_cast<std::int32_t>(tokens / 2);
  const auto mask = static_cast<std::int32_t>(vocabulary - 1);
  batch.context_lengths.push_back(cut);
  PlainBranch branch{number, cut, {}, {}, {}, {}};
  for (auto i = cut; i < static_cast<std::int32_t>(tokens); ++i) {
    if (query && (i + 1 - cut) % 20 != 0) continue;
    const bool masked = query || i % 2 == 0;
    branch.tokens.push_back(masked ? mask : sequence[static_cast<std::size_t>(i)]);
    branch.position_ids.push_back(i);
    branch.targets.push_back(masked ? i : -1);
  }
  batch.branches.push_back(branch);
}

PlainBatch patients(const TrainStepSettings& settings, std::int64_t vocabulary) {
  PlainBatch batch;
  const bool query = settings.variant == "query";
  if (query) batch.kind = BranchKind::kIsolated;
  for (std::int64_t i = 0; i < settings.sequences; ++i) add_patient(batch, settings.tokens, query, vocabulary);
  if (settings.variant == "sft" && settings.all_scored) batch.branches = {};
  return batch;
}

/// Where the model is.
train::WorldModelBatch placed(const PlainBatch& plain, const TrainStepSettings& settings, const Qwen3Config& config,
                              at::Device device) {
  if (!settings.all_scored) return plain.packed(config.vocab_size, device);
  const TrainingBatch batch = plain.for_training();
  return train::world_model_batch(
      model::packed_tokens(batch.tokens, batch.cu_seqlens, batch.position_ids, config.vocab_size, device),
      batch.context_lengths, batch.branches, ScoredLabels::kAll, config.vocab_size);
}

/// Forward and backward of the next-token objective alone: products of the weights, and of queries with the keys that
/// they see; nothing that is computed again counts.
double flops_of(const TrainStepSettings& settings, const Qwen3Config& c) {
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const double heads = number(c.num_attention_heads * c.head_dim), keys = number(c.num_key_value_heads * c.head_dim);
  const double block = number(c.hidden_size) * (2 * heads + 2 * keys + 3 * number(c.intermediate_size));
  const double tokens = number(settings.tokens) * number(settings.sequences);
  const double scored = settings.all_scored ? tokens : tokens / 2;
  const double pairs = number(settings.sequences) * number(settings.tokens) * number(settings.tokens + 1) / 2;
  return 6 * tokens * number(c.num_hidden_layers) * block + 6 * scored * number(c.hidden_size * c.vocab_size) +
         12 * number(c.num_hidden_layers) * pairs * heads;
}

/// The same update from two forward passes of the encoder (clean, masked) and a whole one of the target encoder.
class TwoPassStep {
 public:
  TwoPassStep(const EngineOptions& options, const PlainBatch& batch) : model_(options), batch_(batch) {
    const train::WorldModelBatch packed = batch.packed(options.config.vocab_size);
    clean_ = packed.packed.trunk();
    scored_rows_ = packed.scored_rows;
    labels_ = packed.labels;
    masked_ = clean_;
    masked_.tokens = clean_.tokens.clone();
    const PlainBranch& branch = batch.branches.front();
    std::vector<std::int64_t> predicted;
    for (std::size_t i = 0; i < branch.tokens.size(); ++i) {
      masked_.tokens[branch.position_ids[i]] = branch.tokens[i];
      if (branch.targets[i] >= 0) predicted.push_back(branch.targets[i]);
    }
    predicted_ = at::tensor(predicted, at::kLong);
  }

  double step(const StepOptions& options) {
    train::TrainingState& state = model_.training();
    std::vector<at::Tensor> parameters;
    for (const model::NamedTensor& parameter : state.trainable) parameters.push_back(parameter.tensor);
    const Qwen3Config& config = model_.config();
    const model::Qwen3Weights weights = model::cast_weights(model_.encoder(), model_.compute_dtype());
    const at::Tensor clean = model::qwen3_forward(weights, config, clean_, running);
    const at::Tensor next = objective::next_token_loss(clean.index_select(0, scored_rows_), weights.lm_head, labels_);
    at::Tensor target;
    {
      const at::NoGradGuard no_grad;
      const model::Qwen3Weights ema = model::cast_weights(state.target_encoder().weights(), model_.compute_dtype());
      target =
          objective::normalise_target(model::qwen3_forward(ema, config, clean_, running).index_select(0, predicted_));
    }
    const at::Tensor masked = model::qwen3_forward(weights, config, masked_, running);
    const at::Tensor latent = objective::latent_loss(
        state.predictor.cast(masked.scalar_type()).forward({masked.index_select(0, predicted_), {}, {}, {}}), target);
    const at::Tensor total = next + latent;
    const std::vector<at::Tensor> gradients = torch::autograd::grad({total}, parameters);
    const at::Tensor norm = train::gradient_norm(gradients);
    state.optimizer().step(gradients, {.optimizer = options.optimizer,
                                       .gradient_scale = train::clip_scale(norm, options.gradient_clip),
                                       .momentum = options.momentum});
    state.optimizer().count_updates();
    return total.item<double>();
  }

 private:
  train::WorldModel model_;
  PlainBatch batch_;
  model::PackedTokens clean_, masked_;
  at::Tensor scored_rows_, labels_, predicted_;
};

ActivationCheckpointing checkpointing_named(const std::string& name) {
  for (const auto& [found, value] : Names<ActivationCheckpointing>::table) {
    if (name == found) return value;
  }
  throw std::runtime_error("[bench] checkpointing must be none, selective or block but is " + name);
}

}  // namespace

int train_step(const TrainStepSettings& settings) {
  memory::use_caching_allocator();  // as the engine does
  const Qwen3Config config = shape_of(settings.layers);
  const EngineOptions options{.config = config,
                              .predictor = {.kind = PredictorKind::kMlp, .width = 2 * config.hidden_size},
                              .compute_dtype = settings.bfloat16 ? Dtype::kBfloat16 : Dtype::kFloat32,
                              .activation_checkpointing = checkpointing_named(settings.checkpointing),
                              .seed = 1,
                              .device = settings.device};
  StepOptions step;
  step.optimizer.learning_rate = 1e-5;
  step.latent_weight = settings.variant == "sft" ? 0.0 : 1.0;
  const PlainBatch batch = patients(settings, config.vocab_size);
  std::vector<double> seconds, cpu_seconds;
  double loss = 0.0;
  const auto timed = [&](const auto& update) {
    for (int i = -2; i < settings.steps; ++i) {
      const auto before = std::chrono::steady_clock::now();
      const std::clock_t cpu_before = std::clock();
      loss = update();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
      if (i < 0) continue;
      seconds.push_back(took.count());
      cpu_seconds.push_back(static_cast<double>(std::clock() - cpu_before) / CLOCKS_PER_SEC);
    }
  };
  if (settings.variant == "two-pass") {
    TwoPassStep two_pass(options, batch);
    timed([&] { return two_pass.step(step); });
  } else if (settings.variant == "sft" || settings.variant == "query" || settings.variant == "masked") {
    train::WorldModel model(options);
    const std::vector<train::WorldModelBatch> packed = {placed(batch, settings, config, model.device())};
    timed([&] { return train::step(model, packed, step, running).loss; });
  } else if (settings.variant == "monitors") {
    // Every second step of a masked run reads the collapse monitors.
    train::WorldModel model(options);
    const std::vector<train::WorldModelBatch> packed = {placed(batch, settings, config, model.device())};
    timed([&] {
      const double found = train::step(model, packed, step, running).loss;
      step.with_collapse_monitors = !step.with_collapse_monitors;
      return found;
    });
  } else {
    throw std::runtime_error("[bench] variant must be sft, query, masked, two-pass or monitors but is " +
                             settings.variant);
  }
  const auto list = [](const char* name, const std::vector<double>& values) {
    std::printf(",\"%s\":[", name);
    for (std::size_t i = 0; i < values.size(); ++i) std::printf("%s%.6g", i == 0 ? "" : ",", values[i]);
    std::printf("]");
  };
  std::printf("{\"loss\":%.9g", loss);
  list("seconds", seconds);
  list("cpuSeconds", cpu_seconds);
  const std::vector<DeviceInfo> cards = memory::devices().list;
  std::int64_t peak = 0;
  if (settings.device != "cpu") peak = cards.at(static_cast<std::size_t>(std::stoi(settings.device.substr(5)))).peak;
  std::printf(",\"tokens\":%lld,\"flops\":%.9g,\"peakBytes\":%lld}\n",
              static_cast<long long>(settings.tokens * settings.sequences), flops_of(settings, config),
              static_cast<long long>(peak));
  return 0;
}

}  // namespace bench
