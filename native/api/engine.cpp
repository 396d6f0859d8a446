#include "api/engine.h"

#include <ATen/Parallel.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/finite.h"
#include "infer/encoder.h"
#include "infer/score.h"
#include "io/safetensors.h"
#include "memory/caching_allocator.h"
#include "model/layout.h"
#include "model/packed.h"
#include "train/batch.h"
#include "train/step.h"

namespace ehrjepa::api {
namespace {

model::Qwen3Config model_config(const EngineOptions& options) {
  model::Qwen3Config config{
      .vocab_size = options.vocab_size,
      .hidden_size = options.hidden_size,
      .intermediate_size = options.intermediate_size,
      .num_hidden_layers = options.num_hidden_layers,
      .num_attention_heads = options.num_attention_heads,
      .num_key_value_heads = options.num_key_value_heads,
      .head_dim = options.head_dim,
      .rms_norm_eps = options.rms_norm_eps,
      .rope_theta = options.rope_theta,
      .tie_word_embeddings = options.tie_word_embeddings,
      .initializer_range = options.initializer_range,
  };
  model::check(config);
  return config;
}

std::optional<model::LoraOptions> lora_options(const EngineOptions& options) {
  if (!options.lora) return std::nullopt;
  const LoraOptions& lora = *options.lora;
  return model::LoraOptions{lora.rank, lora.alpha, lora.dropout, lora.targets};
}

model::PredictorOptions predictor_options(const PredictorOptions& options) {
  const auto kind = [&] {
    switch (options.kind) {
      case PredictorKind::kIdentity:
        return model::PredictorKind::kIdentity;
      case PredictorKind::kMlp:
        return model::PredictorKind::kMlp;
      case PredictorKind::kTransformer:
        return model::PredictorKind::kTransformer;
    }
    throw Error("[engine] unknown kind of predictor");
  };
  model::PredictorOptions result{.kind = kind(),
                                 .width = options.width,
                                 .layers = options.layers,
                                 .heads = options.heads,
                                 .from_state = options.from_state};
  model::check(result);
  return result;
}

train::BranchKind branch_kind(BranchKind kind) {
  switch (kind) {
    case BranchKind::kCausal:
      return train::BranchKind::kCausal;
    case BranchKind::kIsolated:
      return train::BranchKind::kIsolated;
    case BranchKind::kState:
      return train::BranchKind::kState;
    case BranchKind::kViews:
      return train::BranchKind::kViews;
  }
  throw Error("[engine] unknown kind of branch");
}

train::TargetKind target_kind(TargetKind kind) {
  switch (kind) {
    case TargetKind::kEma:
      return train::TargetKind::kEma;
    case TargetKind::kOnline:
      return train::TargetKind::kOnline;
    case TargetKind::kViews:
      return train::TargetKind::kViews;
  }
  throw Error("[engine] unknown kind of target");
}

objective::LatentLossKind loss_kind(LatentLossKind kind) {
  switch (kind) {
    case LatentLossKind::kMse:
      return objective::LatentLossKind::kMse;
    case LatentLossKind::kSmoothL1:
      return objective::LatentLossKind::kSmoothL1;
    case LatentLossKind::kL1:
      return objective::LatentLossKind::kL1;
    case LatentLossKind::kCosine:
      return objective::LatentLossKind::kCosine;
  }
  throw Error("[engine] unknown kind of latent loss");
}

train::LossOptions loss_options(const LossOptions& options) {
  const LatentOptions& latent = options.latent;
  return {.next_token_weight = options.next_token_weight,
          .latent_weight = options.latent_weight,
          .latent = {.loss = loss_kind(latent.loss),
                     .beta = latent.beta,
                     .target = target_kind(latent.target),
                     .target_layers = latent.target_layers,
                     .variance_weight = latent.variance_weight,
                     .covariance_weight = latent.covariance_weight,
                     .sigreg_weight = latent.sigreg_weight},
          .seed = options.seed,
          .step = options.step,
          .with_collapse_monitors = options.with_collapse_monitors,
          .with_interference = options.with_interference};
}

Losses to_api(const train::Losses& losses) {
  Losses result{losses.loss,        losses.next_token_loss, losses.latent_loss, losses.scored_tokens,
                losses.regulariser, losses.interference,    std::nullopt};
  if (losses.collapse) {
    const train::CollapseMonitors& c = *losses.collapse;
    result.collapse = CollapseMonitors{c.prediction_std,
                                       c.target_std,
                                       c.prediction_cosine,
                                       c.target_cosine,
                                       c.prediction_effective_rank,
                                       c.target_effective_rank,
                                       c.batch_mean_loss,
                                       c.copy_context_loss,
                                       c.target_encoder_distance};
  }
  return result;
}

/// Results as they leave: finite, or an error, so that no caller has to ask what NaN would mean.
std::vector<float> floats(const char* scope, const char* name, const at::Tensor& tensor) {
  const float* const values = tensor.data_ptr<float>();
  const std::int64_t place = first_not_finite(values, tensor.numel(), kFloatExponent);
  if (place != tensor.numel()) {
    throw Error(std::string("[") + scope + "] " + name + " must be finite but number " + std::to_string(place) +
                " is " + std::to_string(values[place]) + "; a weight or an activation is too large");
  }
  return {values, values + tensor.numel()};
}

std::optional<at::ScalarType> storage_dtype(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (name == "float32") return at::kFloat;
  if (name == "float16") return at::kHalf;
  if (name == "bfloat16") return at::kBFloat16;
  throw Error("[engine] dtype must be float32, float16 or bfloat16 but is " + name);
}

std::vector<model::NamedTensor> chosen(const std::vector<model::NamedTensor>& tensors,
                                       const std::vector<std::string>& names) {
  std::vector<model::NamedTensor> result;
  for (const std::string& name : names) {
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const model::NamedTensor& t) { return t.name == name; });
    if (found == tensors.end()) throw Error("[engine] names must be tensors of this part but hold " + name);
    result.push_back(*found);
  }
  return result;
}

}  // namespace

class Engine::Implementation {
 public:
  explicit Implementation(const EngineOptions& options)
      : model_({.config = model_config(options),
                .predictor = predictor_options(options.predictor),
                .compute_dtype = parse_compute_dtype(options.compute_dtype),
                .parameter_dtype = parse_compute_dtype(options.parameter_dtype, "parameterDtype"),
                .lora = lora_options(options),
                .frozen = options.frozen,
                .seed = options.seed,
                .encoder_from_files = options.encoder_from_files}) {}

  train::WorldModel& model() { return model_; }

  train::WorldModelBatch batch(const TrainingBatch& batch, bool score_all) const {
    const BranchTable& branches = batch.branches;
    return train::world_model_batch(packed(batch), batch.context_lengths,
                                    {.sequences = branches.sequences,
                                     .cuts = branches.cuts,
                                     .cu_rows = branches.cu_rows,
                                     .tokens = branches.tokens,
                                     .position_ids = branches.position_ids,
                                     .targets = branches.targets,
                                     .days = branches.days,
                                     .kind = branch_kind(branches.kind),
                                     .predictor_tokens = branches.predictor_tokens},
                                    score_all, model_.config().vocab_size);
  }
  model::PackedTokens packed(const PackedBatch& batch) const {
    return model::packed_tokens(batch.tokens, batch.cu_seqlens, batch.position_ids, model_.config().vocab_size);
  }
  /// The tensors that a file of this kind holds, under the names it gives them.
  std::vector<model::NamedTensor> state(StateKind kind) {
    switch (kind) {
      case StateKind::kEncoder:
        return model_.encoder().named(model_.config());
      case StateKind::kTargetEncoder:
        return model_.training().target_encoder.weights().named(model_.config());
      case StateKind::kAdapters:
        return adapters_of(model_.encoder());
      case StateKind::kTargetAdapters:
        return adapters_of(model_.training().target_encoder.weights());
      case StateKind::kPredictor:
        return model_.training().predictor.named();
      case StateKind::kOptimizer:
        return model_.training().optimizer.state();
    }
    throw Error("[engine] unknown kind of state");
  }

 private:
  static std::vector<model::NamedTensor> adapters_of(const model::Qwen3Weights& weights) {
    if (weights.adapters.empty()) throw Error("[engine] adapters belong to a model with lora but this one has none");
    return weights.adapters.named();
  }
  train::WorldModel model_;
};

class Snapshot::Implementation {
 public:
  std::map<StateKind, std::vector<model::NamedTensor>> parts;
};

Snapshot::Snapshot(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}
Snapshot::~Snapshot() = default;

void Snapshot::write(StateKind kind, const std::string& path,
                     const std::map<std::string, std::string>& metadata) const {
  const auto found = implementation_->parts.find(kind);
  if (found == implementation_->parts.end()) throw Error("[engine] the snapshot does not hold this part of the state");
  io::write_safetensors(path, found->second, metadata);
}

bool is_cancellation(const std::exception& error) { return dynamic_cast<const Cancelled*>(&error) != nullptr; }

std::string message_of(const std::exception& error) {
  if (const auto* torch_error = dynamic_cast<const c10::Error*>(&error)) {
    return torch_error->what_without_backtrace();
  }
  return error.what();
}

Engine::Engine(const EngineOptions& options) {
  memory::use_caching_allocator();
  if (options.threads > 0) at::set_num_threads(options.threads);
  implementation_ = std::make_unique<Implementation>(options);
}
Engine::~Engine() {
  implementation_.reset();
  memory::release_cached_memory();
}

StepResult Engine::step(const std::vector<TrainingBatch>& batches, const StepOptions& options,
                        const std::atomic<bool>& cancelled) {
  if (batches.empty()) throw Error("[step] batches must hold at least one batch but hold none");
  train::StepOptions step;
  static_cast<train::LossOptions&>(step) = loss_options(options);
  step.optimizer = {options.learning_rate, options.beta1, options.beta2, options.epsilon, options.weight_decay};
  step.gradient_clip = options.gradient_clip;
  step.momentum = options.momentum;
  step.restart_target = options.restart_target;
  std::vector<train::WorldModelBatch> tensors;
  for (const TrainingBatch& batch : batches) tensors.push_back(implementation_->batch(batch, options.score_all));
  const train::StepResult result = implementation_->model().step(tensors, step, cancelled);
  return {to_api(result), result.gradient_norm};
}

Losses Engine::losses(const TrainingBatch& batch, const LossOptions& options, const std::atomic<bool>& cancelled) {
  return to_api(implementation_->model().losses(implementation_->batch(batch, options.score_all), loss_options(options),
                                                cancelled));
}

std::vector<float> Engine::embed(const PackedBatch& batch, Pooling pooling, EncoderChoice encoder,
                                 const std::atomic<bool>& cancelled) {
  train::WorldModel& model = implementation_->model();
  const model::Qwen3Weights& weights =
      encoder == EncoderChoice::kEncoder ? model.encoder() : model.training().target_encoder.weights();
  const at::Tensor states =
      infer::embed(weights, model.config(), model.compute_dtype(), implementation_->packed(batch),
                   pooling == Pooling::kLast ? infer::Pooling::kLast : infer::Pooling::kMean, cancelled)
          .contiguous();
  return floats("embed", "states", states);
}

std::vector<float> Engine::predict_latent(const std::vector<float>& states, const std::vector<float>& days) {
  train::WorldModel& model = implementation_->model();
  const auto rows = static_cast<std::int64_t>(days.size());
  const std::int64_t features = model.config().hidden_size;
  if (static_cast<std::int64_t>(states.size()) != rows * features) {
    throw Error("[predict_latent] states must hold " + std::to_string(features) + " numbers for each of the " +
                std::to_string(rows) + " times ahead but hold " + std::to_string(states.size()));
  }
  for (std::size_t i = 0; i < days.size(); ++i) {
    if (!std::isfinite(days[i]) || days[i] < 0) {
      throw Error("[predict_latent] days ahead must be finite and not negative but row " + std::to_string(i) + " has " +
                  std::to_string(days[i]));
    }
  }
  if (rows == 0) return {};
  const at::Tensor state_MD = at::tensor(states, at::kFloat).view({rows, features});
  return floats("predict_latent", "predictions",
                model.predict_latent(state_MD, at::tensor(days, at::kFloat)).contiguous());
}

Scores Engine::score(const PackedBatch& batch, bool with_hidden, const std::atomic<bool>& cancelled) {
  const train::WorldModel& model = implementation_->model();
  const infer::Scores scores = infer::score(model.encoder(), model.config(), model.compute_dtype(),
                                            implementation_->packed(batch), with_hidden, cancelled);
  return {floats("score", "log-probabilities", scores.log_probabilities),
          with_hidden ? floats("score", "hidden states", scores.hidden) : std::vector<float>()};
}

void Engine::trace(const TrainingBatch& batch, const LossOptions& options, const std::string& path,
                   const std::atomic<bool>& cancelled) {
  train::WorldModel& model = implementation_->model();
  const train::WorldModelBatch tensors = implementation_->batch(batch, options.score_all);
  const train::Gradients gradients = model.gradients({&tensors, 1}, loss_options(options), cancelled);
  const at::NoGradGuard no_grad;
  const model::Qwen3Weights weights = model::cast_weights(model.encoder(), model.compute_dtype());
  const at::Tensor hidden_TD = model::qwen3_forward(weights, model.config(), tensors.packed.trunk(), cancelled);
  std::vector<model::NamedTensor> result{{"hidden", hidden_TD},
                                         {"logits", at::linear(hidden_TD, weights.lm_head)},
                                         {"loss", at::scalar_tensor(gradients.losses.loss, at::kFloat)}};
  const std::vector<model::NamedTensor>& parameters = model.training().trainable;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (gradients.values[i].defined()) result.push_back({"grad." + parameters[i].name, gradients.values[i]});
  }
  io::write_safetensors(path, result, {}, at::kFloat);
}

void Engine::save(StateKind kind, const std::string& path, const SaveOptions& options) {
  std::vector<model::NamedTensor> tensors = implementation_->state(kind);
  if (!options.names.empty()) tensors = chosen(tensors, options.names);
  train::WorldModel& model = implementation_->model();
  if (kind == StateKind::kEncoder) tensors = model::merge_lora(std::move(tensors), model.encoder().adapters);
  if (kind == StateKind::kTargetEncoder) {
    tensors = model::merge_lora(std::move(tensors), model.training().target_encoder.weights().adapters);
  }
  io::write_safetensors(path, tensors, options.metadata, storage_dtype(options.dtype));
}

void Engine::load(StateKind kind, const std::vector<TensorEntry>& entries, Placement placement) {
  std::vector<io::TensorEntry> list;
  for (const TensorEntry& entry : entries) {
    list.push_back({entry.name, entry.path, entry.dtype, entry.shape, entry.begin, entry.end});
  }
  train::WorldModel& model = implementation_->model();
  if (kind != StateKind::kEncoder || model.has_training_state()) {
    io::copy_safetensors(list, implementation_->state(kind));
    return;
  }
  model.assign_encoder(
      io::read_safetensors(list, model.encoder_tensors(), model.parameter_dtype(),
                           placement == Placement::kMapped ? io::Placement::kMapped : io::Placement::kOwned));
}

std::shared_ptr<Snapshot> Engine::snapshot(const std::vector<StateKind>& kinds) {
  auto copy = std::make_unique<Snapshot::Implementation>();
  for (const StateKind kind : kinds) {
    std::vector<model::NamedTensor>& part = copy->parts[kind];
    for (const model::NamedTensor& entry : implementation_->state(kind)) {
      part.push_back({entry.name, entry.tensor.detach().clone()});
    }
  }
  return std::make_shared<Snapshot>(std::move(copy));
}

std::int64_t Engine::parameter_count(const EngineOptions& options) {
  const model::Qwen3Config config = model_config(options);
  parse_compute_dtype(options.compute_dtype);
  parse_compute_dtype(options.parameter_dtype, "parameterDtype");
  const std::int64_t predictor = model::parameter_count(predictor_options(options.predictor), config.hidden_size);
  if (options.lora) return model::lora_parameter_count(config, *lora_options(options)) + predictor;
  std::int64_t encoder = 0;
  for (const model::Weight& weight : model::qwen3_layout(config)) {
    const auto& frozen = options.frozen;
    if (std::find(frozen.begin(), frozen.end(), weight.name()) == frozen.end()) encoder += weight.count(config);
  }
  return encoder + predictor;
}

}  // namespace ehrjepa::api
