#include "train/step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "core/error.h"
#include "objective/anti_collapse.h"
#include "objective/collapse.h"
#include "objective/latent.h"
#include "objective/next_token.h"

namespace ehrjepa::train {
namespace {

/// What training changes in the encoder: adapters, or the weights that are not frozen.
std::vector<model::NamedTensor> trained_weights(const model::Qwen3Weights& encoder, const WorldModelOptions& options) {
  std::vector<model::NamedTensor> result = encoder.trainable(options.config);
  for (const std::string& name : options.frozen) {
    if (std::erase_if(result, [&](const model::NamedTensor& weight) { return weight.name == name; }) == 0) {
      throw Error("[world_model] frozen must name weights of the encoder, each once, but holds " + name);
    }
  }
  if (result.empty()) throw Error("[world_model] frozen must leave a weight to train but names all of them");
  return result;
}

std::vector<model::NamedTensor> trainable_parameters(const model::Qwen3Weights& encoder,
                                                     const model::Predictor& predictor,
                                                     const WorldModelOptions& options) {
  std::vector<model::NamedTensor> result = trained_weights(encoder, options);
  for (model::NamedTensor& parameter : predictor.named()) result.push_back(std::move(parameter));
  model::require_gradients(result);
  return result;
}

at::ScalarType scalar_type(ComputeDtype dtype) { return dtype == ComputeDtype::kBfloat16 ? at::kBFloat16 : at::kFloat; }

void require_finite(const char* name, double value) {
  if (!std::isfinite(value)) {
    throw Error(std::string("[step] ") + name + " must be finite but is " + std::to_string(value) +
                "; the update was not made. Lower the learning rate or check the batch");
  }
}

void require_objective(const LossOptions& options) {
  if (options.next_token_weight <= 0.0 && options.latent_weight <= 0.0) {
    throw Error("[step] one of nextTokenWeight and latentWeight must be above 0 but both are 0");
  }
}

double total_loss(const Losses& losses, const LossOptions& options) {
  return options.next_token_weight * losses.next_token_loss.value_or(0.0) +
         options.latent_weight * (losses.latent_loss.value_or(0.0) + losses.regulariser.value_or(0.0));
}

/// Packed rows, ascending and once each.
class RowSet {
 public:
  explicit RowSet(std::vector<std::int64_t> rows, const std::vector<std::int64_t>& more = {}) : rows_(std::move(rows)) {
    rows_.insert(rows_.end(), more.begin(), more.end());
    std::sort(rows_.begin(), rows_.end());
    rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
  }
  const std::vector<std::int64_t>& ascending() const { return rows_; }
  at::Tensor index() const { return at::tensor(rows_, at::kLong); }
  /// Where each of some rows, which the set holds, stands in it.
  at::Tensor places_of(const std::vector<std::int64_t>& wanted) const {
    std::vector<std::int64_t> places;
    for (const std::int64_t row : wanted) {
      places.push_back(std::lower_bound(rows_.begin(), rows_.end(), row) - rows_.begin());
    }
    return at::tensor(places, at::kLong);
  }

 private:
  std::vector<std::int64_t> rows_;
};

/// Gradients of several losses, added up; undefined where no loss reached a parameter.
class GradientSum {
 public:
  explicit GradientSum(const std::vector<at::Tensor>& parameters)
      : parameters_(parameters), values_(parameters.size()) {}

  void add(const at::Tensor& loss, bool retain_graph) {
    if (!loss.requires_grad()) {
      throw Error("[step] the loss must depend on a parameter that is trained but all that it depends on are frozen");
    }
    merge(torch::autograd::grad({loss}, parameters_, {}, retain_graph, false, /*allow_unused=*/true));
  }
  void add(const GradientSum& other) { merge(other.values_); }
  /// Cosine with another sum over the first `count` parameters; 0 when one of them vanishes.
  double cosine(const GradientSum& other, std::size_t count) const {
    double product = 0.0, own = 0.0, others = 0.0;
    for (std::size_t i = 0; i < count; ++i) {
      if (values_[i].defined()) own += values_[i].square().sum().item<double>();
      if (other.values_[i].defined()) others += other.values_[i].square().sum().item<double>();
      if (values_[i].defined() && other.values_[i].defined()) {
        product += (values_[i] * other.values_[i]).sum().item<double>();
      }
    }
    return own > 0.0 && others > 0.0 ? product / std::sqrt(own * others) : 0.0;
  }
  std::vector<at::Tensor> take() { return std::move(values_); }

 private:
  void merge(const std::vector<at::Tensor>& gradients) {
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].defined()) continue;
      values_[i] = values_[i].defined() ? values_[i] + gradients[i] : gradients[i];
    }
  }
  const std::vector<at::Tensor>& parameters_;
  std::vector<at::Tensor> values_;
};

}  // namespace

TrainingState::TrainingState(const model::Qwen3Weights& encoder, const WorldModelOptions& options)
    : predictor(model::initialise_predictor(options.config.hidden_size, options.predictor, options.seed)),
      target_encoder(encoder, options.config),
      trainable(trainable_parameters(encoder, predictor, options)),
      optimizer(trainable) {}

WorldModel::WorldModel(const WorldModelOptions& options)
    : options_(options),
      encoder_(options.encoder_from_files ? model::shapes_of_qwen3(options.config)
                                          : model::cast_weights(model::initialise_qwen3(options.config, options.seed),
                                                                scalar_type(options.parameter_dtype))) {
  if (options.lora) encoder_.adapters = model::initialise_lora(options.config, *options.lora, options.seed);
}

at::ScalarType WorldModel::compute_dtype() const { return scalar_type(options_.compute_dtype); }
at::ScalarType WorldModel::parameter_dtype() const { return scalar_type(options_.parameter_dtype); }

const model::Qwen3Weights& WorldModel::encoder() const {
  if (!has_encoder()) throw Error("[world_model] the encoder must be loaded before it is used but has no weights yet");
  return encoder_;
}

void WorldModel::assign_encoder(const std::vector<at::Tensor>& tensors) {
  if (training_) throw Error("[world_model] the encoder's tensors must not be replaced once training has begun");
  encoder_.assign(options_.config, tensors);
}

TrainingState& WorldModel::training() {
  if (options_.parameter_dtype != ComputeDtype::kFloat32 && !options_.lora) {
    throw Error(
        "[world_model] parameterDtype must be float32 to train but is bfloat16: load the model with float32 "
        "parameters, "
        "with computeDtype bfloat16 for speed");
  }
  if (!training_) training_ = std::make_unique<TrainingState>(encoder(), options_);
  return *training_;
}

WorldModel::Forward WorldModel::forward(const WorldModelBatch& batch, const LossOptions& options,
                                        const std::atomic<bool>& cancelled) {
  Forward result;
  const bool with_latent = options.latent_weight > 0.0;
  const model::Qwen3Weights weights = model::cast_weights(encoder(), compute_dtype());
  // One pass: trunk and latent branches side by side, or the trunk alone.
  const at::Tensor hidden_TD = model::qwen3_forward(
      weights, config(), with_latent ? batch.packed : batch.packed.trunk(), cancelled,
      options.with_dropout ? std::optional(model::DropoutKey{options.seed, options.step}) : std::nullopt);

  if (options.next_token_weight > 0.0) {
    result.next_token =
        objective::next_token_loss(hidden_TD.index_select(0, batch.scored_rows), weights.lm_head, batch.labels);
    result.values.next_token_loss = result.next_token.item<double>();
    result.values.scored_tokens = batch.labels.size(0);
  }
  if (with_latent) latent_forward(batch, hidden_TD, options, cancelled, result);
  return result;
}

at::Tensor WorldModel::predict(const WorldModelBatch& batch, const at::Tensor& hidden_TD) {
  const RowSet contexts(batch.context_rows);
  return training()
      .predictor.cast(hidden_TD.scalar_type())
      .forward({.branch_MD =
                    batch.kind == BranchKind::kState ? at::Tensor() : hidden_TD.index_select(0, batch.predicted_rows),
                .context_CD = hidden_TD.index_select(0, contexts.index()),
                .context_of_M = contexts.places_of(batch.context_rows),
                .days_M = batch.days});
}

at::Tensor WorldModel::predict_latent(const at::Tensor& state_MD, const at::Tensor& days_M) {
  const at::NoGradGuard no_grad;
  const auto count = state_MD.size(0);
  return training()
      .predictor.cast(compute_dtype())
      .forward({.branch_MD = {},
                .context_CD = state_MD.to(compute_dtype()),
                .context_of_M = at::arange(count, at::kLong),
                .days_M = days_M})
      .to(at::kFloat);
}

void WorldModel::latent_forward(const WorldModelBatch& batch, const at::Tensor& hidden_TD, const LossOptions& options,
                                const std::atomic<bool>& cancelled, Forward& result) {
  const LatentOptions& latent = options.latent;
  if (batch.target_rows.empty()) throw Error("[latent] the batch must hold at least one masked position but holds 0");
  if (latent.target == TargetKind::kOnline && latent.target_layers != 1) {
    throw Error("[latent] target layers must be 1 with the online target but are " +
                std::to_string(latent.target_layers));
  }
  if ((latent.target == TargetKind::kViews) != (batch.kind == BranchKind::kViews)) {
    throw Error("[latent] the target must be views exactly when the branches are, but one of them is not");
  }
  // Rows whose target state is wanted, once each: branches of one patient may share targets.
  const RowSet rows(batch.target_rows,
                    options.with_collapse_monitors ? batch.context_rows : std::vector<std::int64_t>());
  at::Tensor state_QD;
  if (latent.target == TargetKind::kViews) {
    // The second view learns too, and is compared as it is: the reference normalises nothing.
    state_QD = hidden_TD.index_select(0, rows.index());
    if (state_QD.scalar_type() != at::kDouble) state_QD = state_QD.to(at::kFloat);
  } else if (latent.target == TargetKind::kOnline) {
    state_QD = objective::normalise_target(hidden_TD.detach().index_select(0, rows.index()));
  } else {
    const at::NoGradGuard no_grad;
    const model::Qwen3Weights target_weights =
        model::cast_weights(training().target_encoder.weights(), compute_dtype());
    state_QD = objective::normalise_target(model::qwen3_forward_rows(
        target_weights, config(), batch.packed.trunk(), rows.ascending(), latent.target_layers, cancelled));
  }
  const at::Tensor target_MD = state_QD.index_select(0, rows.places_of(batch.target_rows));
  const at::Tensor predicted_MD = predict(batch, hidden_TD);
  result.latent = objective::latent_loss(predicted_MD, target_MD, latent.loss, latent.beta);
  result.values.latent_loss = result.latent.item<double>();

  const auto add = [&](double weight, const at::Tensor& term) {
    result.regulariser = result.regulariser.defined() ? result.regulariser + weight * term : weight * term;
  };
  if (latent.variance_weight > 0.0) add(latent.variance_weight, objective::variance_hinge(predicted_MD));
  if (latent.covariance_weight > 0.0) add(latent.covariance_weight, objective::covariance_penalty(predicted_MD));
  if (latent.sigreg_weight > 0.0) {
    constexpr std::int64_t directions = 256;
    add(latent.sigreg_weight, objective::sigreg(predicted_MD, directions, options.seed, options.step));
  }
  if (result.regulariser.defined()) result.values.regulariser = result.regulariser.item<double>();

  if (options.with_collapse_monitors) {
    const at::NoGradGuard no_grad;
    const objective::LatentSpread prediction = objective::latent_spread(predicted_MD);
    const objective::LatentSpread target = objective::latent_spread(target_MD);
    const objective::NullModelLosses null_models = objective::null_model_losses(
        target_MD, state_QD.index_select(0, rows.places_of(batch.context_rows)), latent.loss, latent.beta);
    result.values.collapse = CollapseMonitors{
        .prediction_std = prediction.standard_deviation,
        .target_std = target.standard_deviation,
        .prediction_cosine = prediction.mean_cosine,
        .target_cosine = target.mean_cosine,
        .prediction_effective_rank = prediction.effective_rank,
        .target_effective_rank = target.effective_rank,
        .batch_mean_loss = null_models.batch_mean,
        .copy_context_loss = null_models.copy_context,
        .target_encoder_distance = training().target_encoder.relative_distance(encoder_),
    };
  }
}

Losses WorldModel::losses(const WorldModelBatch& batch, const LossOptions& options,
                          const std::atomic<bool>& cancelled) {
  require_objective(options);
  const at::NoGradGuard no_grad;
  Losses result = forward(batch, options, cancelled).values;
  result.loss = total_loss(result, options);
  require_finite("loss", result.loss);
  return result;
}

Gradients WorldModel::gradients(std::span<const WorldModelBatch> batches, const LossOptions& options,
                                const std::atomic<bool>& cancelled) {
  require_objective(options);
  std::vector<at::Tensor> parameters;
  for (const model::NamedTensor& parameter : training().trainable) parameters.push_back(parameter.tensor);
  double scored = 0.0;
  double predicted = 0.0;
  for (const WorldModelBatch& batch : batches) {
    scored += static_cast<double>(batch.labels.size(0));
    predicted += static_cast<double>(batch.predicted_rows.size(0));
  }
  const bool apart = options.with_interference && options.next_token_weight > 0.0 && options.latent_weight > 0.0;
  GradientSum next_token(parameters), rest(parameters);
  Gradients result;
  Losses& sum = result.losses;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    LossOptions own = options;
    own.with_collapse_monitors = options.with_collapse_monitors && i == 0;
    own.step = options.step * static_cast<std::uint32_t>(batches.size()) + static_cast<std::uint32_t>(i);
    const Forward pass = forward(batches[i], own, cancelled);
    // Each loss is a mean over all micro-batches together.
    const double next_share = static_cast<double>(batches[i].labels.size(0)) / scored;
    const double latent_share = static_cast<double>(batches[i].predicted_rows.size(0)) / predicted;
    const double regulariser_share = 1.0 / static_cast<double>(batches.size());
    at::Tensor next_loss, latent_loss;
    if (pass.next_token.defined()) {
      next_loss = pass.next_token * (options.next_token_weight * next_share);
      sum.next_token_loss = sum.next_token_loss.value_or(0.0) + next_share * *pass.values.next_token_loss;
      sum.scored_tokens += pass.values.scored_tokens;
    }
    if (pass.latent.defined()) {
      latent_loss = pass.latent * (options.latent_weight * latent_share);
      sum.latent_loss = sum.latent_loss.value_or(0.0) + latent_share * *pass.values.latent_loss;
      if (pass.regulariser.defined()) {
        latent_loss = latent_loss + pass.regulariser * (options.latent_weight * regulariser_share);
        sum.regulariser = sum.regulariser.value_or(0.0) + regulariser_share * *pass.values.regulariser;
      }
    }
    if (pass.values.collapse) sum.collapse = pass.values.collapse;
    if (apart) {
      next_token.add(next_loss, /*retain_graph=*/true);
      rest.add(latent_loss, /*retain_graph=*/false);
    } else if (next_loss.defined() && latent_loss.defined()) {
      rest.add(next_loss + latent_loss, /*retain_graph=*/false);
    } else {
      rest.add(next_loss.defined() ? next_loss : latent_loss, /*retain_graph=*/false);
    }
  }
  sum.loss = total_loss(sum, options);
  require_finite("loss", sum.loss);
  if (apart) {
    const std::size_t shared = trained_weights(encoder_, options_).size();
    sum.interference = next_token.cosine(rest, shared);
    rest.add(next_token);
  }
  result.values = rest.take();
  return result;
}

StepResult WorldModel::step(std::span<const WorldModelBatch> batches, const StepOptions& options,
                            const std::atomic<bool>& cancelled) {
  if (options.restart_target) training().target_encoder.update_from(encoder_, 0.0);

  // Step 1. Forward and backward
  LossOptions with_dropout = options;
  with_dropout.with_dropout = true;
  const Gradients pass = gradients(batches, with_dropout, cancelled);

  // Step 2. Update
  StepResult result{pass.losses, 0.0};
  result.gradient_norm = clip_gradients(pass.values, options.gradient_clip);
  require_finite("gradient norm", result.gradient_norm);
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  training().optimizer.step(pass.values, options.optimizer);

  // Step 3. Momentum update of the target encoder
  if (options.latent_weight > 0.0 && options.latent.target == TargetKind::kEma) {
    training().target_encoder.update_from(encoder_, options.momentum);
  }
  return result;
}

}  // namespace ehrjepa::train
