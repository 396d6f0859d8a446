#include "api/engine.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include "core/error.h"
#include "infer/encoder.h"
#include "io/safetensors.h"
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
  config.check();
  if (options.predictor_width < 1) {
    throw Error("[engine] predictorWidth must be positive but is " + std::to_string(options.predictor_width));
  }
  if (options.mask_token_id < 0 || options.mask_token_id >= options.vocab_size) {
    throw Error("[engine] maskTokenId must lie in the vocabulary of " + std::to_string(options.vocab_size) +
                " tokens but is " + std::to_string(options.mask_token_id));
  }
  return config;
}

train::LossOptions loss_options(const LossOptions& options) {
  return {options.next_token_weight, options.latent_weight, options.with_collapse_monitors};
}

Losses to_api(const train::Losses& losses) {
  Losses result{losses.loss, losses.next_token_loss, losses.latent_loss, losses.scored_tokens, std::nullopt};
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

}  // namespace

class Engine::Implementation {
 public:
  explicit Implementation(const EngineOptions& options)
      : mask_token_id_(options.mask_token_id),
        model_(model_config(options), options.predictor_width, parse_compute_dtype(options.compute_dtype),
               options.seed) {}

  train::WorldModel& model() { return model_; }

  train::WorldModelBatch batch(const TrainingBatch& batch, bool score_all) const {
    return train::world_model_batch(packed(batch), batch.context_lengths, batch.masked_positions, mask_token_id_,
                                    score_all);
  }
  model::PackedTokens packed(const PackedBatch& batch) const {
    return train::packed_tokens(batch.tokens, batch.cu_seqlens, batch.position_ids, model_.config().vocab_size);
  }
  /// The tensors that a file of this kind holds, under the names it gives them.
  std::vector<model::NamedTensor> state(StateKind kind) const {
    switch (kind) {
      case StateKind::kEncoder:
        return model_.encoder().named(model_.config());
      case StateKind::kTargetEncoder:
        return model_.target_encoder().weights().named(model_.config());
      case StateKind::kPredictor:
        return model_.predictor().named();
      case StateKind::kOptimizer:
        return model_.optimizer().state();
    }
    throw Error("[engine] unknown kind of state");
  }

 private:
  std::int64_t mask_token_id_;
  train::WorldModel model_;
};

bool is_cancellation(const std::exception& error) { return dynamic_cast<const Cancelled*>(&error) != nullptr; }

std::string message_of(const std::exception& error) {
  if (const auto* torch_error = dynamic_cast<const c10::Error*>(&error)) {
    return torch_error->what_without_backtrace();
  }
  return error.what();
}

Engine::Engine(const EngineOptions& options) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  implementation_ = std::make_unique<Implementation>(options);
}
Engine::~Engine() = default;

StepResult Engine::step(const TrainingBatch& batch, const StepOptions& options, const std::atomic<bool>& cancelled) {
  train::StepOptions step;
  static_cast<train::LossOptions&>(step) = loss_options(options);
  step.optimizer = {options.learning_rate, options.beta1, options.beta2, options.epsilon, options.weight_decay};
  step.gradient_clip = options.gradient_clip;
  step.momentum = options.momentum;
  const train::StepResult result =
      implementation_->model().step(implementation_->batch(batch, options.score_all), step, cancelled);
  return {to_api(result), result.gradient_norm};
}

Losses Engine::losses(const TrainingBatch& batch, const LossOptions& options, const std::atomic<bool>& cancelled) {
  return to_api(implementation_->model().losses(implementation_->batch(batch, options.score_all), loss_options(options),
                                                cancelled));
}

std::vector<float> Engine::embed(const PackedBatch& batch, Pooling pooling, EncoderChoice encoder,
                                 const std::atomic<bool>& cancelled) {
  const train::WorldModel& model = implementation_->model();
  const model::Qwen3Weights& weights =
      encoder == EncoderChoice::kEncoder ? model.encoder() : model.target_encoder().weights();
  const at::Tensor states =
      infer::embed(weights, model.config(), model.compute_dtype(), implementation_->packed(batch),
                   pooling == Pooling::kLast ? infer::Pooling::kLast : infer::Pooling::kMean, cancelled)
          .contiguous();
  const float* const values = states.data_ptr<float>();
  return {values, values + states.numel()};
}

void Engine::save(StateKind kind, const std::string& path, const std::map<std::string, std::string>& metadata) {
  io::write_safetensors(path, implementation_->state(kind), metadata);
}

void Engine::load(StateKind kind, const std::string& path, const std::vector<TensorEntry>& entries) {
  std::vector<io::TensorEntry> list;
  for (const TensorEntry& entry : entries) {
    list.push_back({entry.name, entry.dtype, entry.shape, entry.begin, entry.end});
  }
  io::read_safetensors(path, list, implementation_->state(kind));
}

std::int64_t Engine::parameter_count(const EngineOptions& options) {
  const model::Qwen3Config config = model_config(options);
  parse_compute_dtype(options.compute_dtype);
  const std::int64_t predictor =
      2 * config.hidden_size * options.predictor_width + options.predictor_width + config.hidden_size;
  return config.parameter_count() + predictor;
}

}  // namespace ehrjepa::api
