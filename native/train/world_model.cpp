#include "train/world_model.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"
#include "memory/device.h"
#include "memory/scalar_type.h"
#include "memory/transfer.h"
#include "model/layout.h"

namespace ehrjepa::train {
namespace {

const EngineOptions& checked(const EngineOptions& options) {
  model::check(options.config);
  model::check(options.predictor);
  const auto require_dtype = [](const std::string& argument, Dtype dtype) {
    if (dtype == Dtype::kFloat32 || dtype == Dtype::kBfloat16) return;
    throw Error("[engine] " + argument + " must be float32 or bfloat16 but is " + std::string(name_of(dtype)));
  };
  require_dtype("computeDtype", options.compute_dtype);
  require_dtype("parameterDtype", options.parameter_dtype);
  if (options.stochastic_rounding && (options.parameter_dtype != Dtype::kBfloat16 || options.lora)) {
    throw Error(
        "[engine] stochasticRounding must go with bfloat16 parameters that are trained whole but is of " +
        (options.lora ? std::string("adapters") : std::string(name_of(options.parameter_dtype)) + " parameters"));
  }
  return options;
}

/// What training changes in the encoder: adapters, or the weights that are not frozen.
std::vector<io::NamedTensor> trained_weights(const model::Qwen3Weights& encoder, const EngineOptions& options) {
  std::vector<io::NamedTensor> result = encoder.trainable(options.config);
  for (const std::string& name : options.frozen) {
    if (std::erase_if(result, [&](const io::NamedTensor& weight) { return weight.name == name; }) == 0) {
      throw Error("[world_model] frozen must name weights of the encoder, each once, but holds " + name);
    }
  }
  if (result.empty()) throw Error("[world_model] frozen must leave a weight to train but names all of them");
  return result;
}

std::vector<io::NamedTensor> with_predictor(std::vector<io::NamedTensor> weights, const model::Predictor& predictor) {
  for (io::NamedTensor& parameter : predictor.named()) weights.push_back(std::move(parameter));
  model::require_gradients(weights);
  return weights;
}

std::optional<distributed::Ownership> ownership_of(const std::vector<io::NamedTensor>& parameters,
                                                   const StateShare& share) {
  if (share.kind == ParallelKind::kDdp || share.ranks == 1) return std::nullopt;
  std::vector<std::int64_t> sizes;
  for (const io::NamedTensor& parameter : parameters) sizes.push_back(parameter.tensor.numel());
  return distributed::Ownership(sizes, share.rank, share.ranks);
}

}  // namespace

TrainingState::TrainingState(const model::Qwen3Weights& encoder, const EngineOptions& options, at::Device device,
                             const StateShare& share)
    : predictor(model::initialise_predictor(options.config.hidden_size, options.predictor, options.seed)
                    .cast(at::TensorOptions(device).dtype(options.stochastic_rounding ? at::kBFloat16 : at::kFloat))),
      trainable(with_predictor(trained_weights(encoder, options), predictor)),
      trainable_of_encoder(trainable.size() - predictor.named().size()),
      ownership(ownership_of(trainable, share)),
      encoder_(encoder),
      config_(options.config) {}

model::TargetEncoder& TrainingState::target_encoder() {
  if (!target_encoder_) {
    target_encoder_.emplace(encoder_, config_, [this](const std::string& name) {
      return place_of(name) < trainable.size() && !is_own(name);
    });
  }
  return *target_encoder_;
}

Optimizer& TrainingState::optimizer() {
  if (!optimizer_) optimizer_.emplace(trainable, target_encoder().trainable(), ownership ? &*ownership : nullptr);
  return *optimizer_;
}

const model::Qwen3Weights& TrainingState::target_weights() {
  if (whole_target) return *whole_target;
  if (!ownership) return target_encoder().weights();
  throw Error(
      "[target_encoder] its weights must be here to be computed with but are spread over the ranks; read them from a "
      "checkpoint");
}

std::size_t TrainingState::place_of(const std::string& name) const {
  return static_cast<std::size_t>(std::ranges::find(trainable, name, &io::NamedTensor::name) - trainable.begin());
}

bool TrainingState::is_own(const std::string& name) const {
  if (!ownership) return true;
  const std::size_t place = place_of(name);
  return place == trainable.size() ? ownership->rank() == 0 : ownership->is_own(place);
}

WorldModel::WorldModel(const EngineOptions& options)
    : options_(checked(options)),
      device_(memory::device_named(options.device)),
      target_stream_(device_),
      encoder_(options.encoder_from_files
                   ? model::shapes_of_qwen3(options.config)
                   : model::initialise_qwen3(options.config, options.seed, memory::scalar_type(options.parameter_dtype),
                                             device_)),
      has_encoder_(!options.encoder_from_files) {
  if (!options.lora) return;
  encoder_.adapters =
      model::initialise_lora(options.config, *options.lora, options.seed).map([&](const at::Tensor& tensor) {
        return memory::upload(tensor, device_);
      });
}

at::ScalarType WorldModel::compute_dtype() const { return memory::scalar_type(options_.compute_dtype); }
at::ScalarType WorldModel::parameter_dtype() const { return memory::scalar_type(options_.parameter_dtype); }

const model::Qwen3Weights& WorldModel::encoder() const {
  require_whole();
  if (!has_encoder()) throw Error("[world_model] the encoder must be loaded before it is used but has no weights yet");
  return encoder_;
}

void WorldModel::require_whole() const {
  if (!abandoned_) return;
  throw Error("[world_model] an update broke off half made, and the model is of no more use; open the last checkpoint");
}

void WorldModel::assign_encoder(const std::vector<at::Tensor>& tensors) {
  if (training_) throw Error("[world_model] the encoder's tensors must not be replaced once training has begun");
  encoder_.assign(options_.config, tensors);
  has_encoder_ = true;
  keep_own_part();
}

const model::Qwen3Weights& WorldModel::whole_encoder() const {
  const model::Qwen3Weights& own = encoder();
  if (!shares_encoder()) return own;
  if (training_ && training_->whole_encoder) return *training_->whole_encoder;
  throw Error(
      "[encoder] its weights must be here to be computed with but are spread over the ranks; read them from a "
      "checkpoint");
}

bool WorldModel::keeps(const std::string& name) const { return !elsewhere_.contains(name); }

void WorldModel::keep_own_part() {
  if (!shares_encoder()) return;
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> kept;
  for (const io::NamedTensor& weight : encoder_.trainable(options_.config)) {
    kept.push_back(keeps(weight.name) ? weight.tensor
                                      : at::empty_like(weight.tensor.detach(), at::TensorOptions().device(at::kMeta)));
  }
  encoder_ = encoder_.with(options_.config, kept);
}

TrainingState& WorldModel::training() {
  require_whole();
  if (options_.parameter_dtype != Dtype::kFloat32 && !options_.lora && !options_.stochastic_rounding) {
    throw Error(
        "[world_model] parameterDtype must be float32 to train but is bfloat16: load the model with float32 "
        "parameters, with computeDtype bfloat16 for speed, or with stochasticRounding for memory");
  }
  if (!training_) training_ = std::make_unique<TrainingState>(encoder(), options_, device_, share_);
  return *training_;
}

void WorldModel::share(const StateShare& share) {
  if (training_ && share.kind != ParallelKind::kDdp) {
    throw Error("[ranks] ranks must join before training begins, or its state is loaded, to share the state out");
  }
  share_ = share;
  if (!shares_encoder()) return;
  // As the training state will deal them.
  std::vector<io::NamedTensor> trained = trained_weights(encoder_, options_);
  const std::size_t of_encoder = trained.size();
  const auto predictor = model::initialise_predictor(options_.config.hidden_size, options_.predictor, options_.seed);
  for (io::NamedTensor& parameter : predictor.named()) trained.push_back(std::move(parameter));
  const auto ownership = ownership_of(trained, share_);
  for (std::size_t i = 0; i < of_encoder; ++i) {
    if (!ownership->is_own(i)) elsewhere_.insert(trained[i].name);
  }
  keep_own_part();
}

at::Tensor WorldModel::predict_latent(const at::Tensor& state_MD, const at::Tensor& days_M) {
  const at::NoGradGuard no_grad;
  return training()
      .predictor.cast(compute_dtype())
      .forward({.branch_MD = {},
                .context_CD = state_MD.to(compute_dtype()),
                .context_of_M = at::arange(state_MD.size(0), state_MD.options().dtype(at::kLong)),
                .days_M = days_M})
      .to(at::kFloat);
}

std::int64_t WorldModel::parameter_count(const EngineOptions& options) {
  const Qwen3Config& config = checked(options).config;
  const std::int64_t predictor = model::parameter_count(options.predictor, config.hidden_size);
  if (options.lora) return model::lora_parameter_count(config, *options.lora) + predictor;
  std::int64_t encoder = 0;
  for (const model::Weight& weight : model::qwen3_layout(config)) {
    if (std::ranges::find(options.frozen, weight.name()) == options.frozen.end()) encoder += weight.count(config);
  }
  return encoder + predictor;
}

}  // namespace ehrjepa::train
