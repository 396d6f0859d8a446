#include "api/engine.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "api/process_group.h"
#include "core/error.h"
#include "core/finite.h"
#include "infer/encoder.h"
#include "infer/score.h"
#include "io/safetensors.h"
#include "memory/caching_allocator.h"
#include "memory/host_copies.h"
#include "memory/streams.h"
#include "memory/transfer.h"
#include "model/layout.h"
#include "model/packed.h"
#include "train/batch.h"
#include "train/batches_ahead.h"
#include "train/shared_state.h"
#include "train/step.h"

namespace ehrjepa::api {
namespace {

// The cache of memory is the process's: the last engine frees it.
std::atomic<int> engines{0};

/// Results as they leave: finite, or an error, so that no caller has to ask what NaN would mean.
std::vector<float> floats(const char* scope, const char* name, const at::Tensor& tensor) {
  const at::Tensor host = tensor.to(at::kCPU).contiguous();
  const float* const values = host.data_ptr<float>();
  const std::int64_t place = first_not_finite(values, host.numel(), kFloatExponent);
  if (place != host.numel()) {
    throw Error(std::string("[") + scope + "] " + name + " must be finite but number " + std::to_string(place) +
                " is " + std::to_string(values[place]) + "; a weight or an activation is too large");
  }
  return {values, values + host.numel()};
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
      : model_(options), ahead_(model_.device()), copies_(model_.device()) {}
  /// Memory that a copy still reads must not be given to others.
  ~Implementation() { model_.wait_for_copies(); }

  train::WorldModel& model() { return model_; }

  void join(std::shared_ptr<ProcessGroup> group, ParallelKind kind) {
    model_.share({.kind = kind, .rank = group->group().rank(), .ranks = group->group().size()});
    group_ = std::move(group);
  }
  void gather_model(const std::atomic<bool>& cancelled) {
    whole_model_.reset();
    whole_model_.emplace(model_, group(), cancelled);
  }
  void release_model() { whole_model_.reset(); }
  distributed::Group* group() const { return group_ ? &group_->group() : nullptr; }

  train::WorldModelBatch batch(const TrainingBatch& batch, ScoredLabels labels) const {
    return train::world_model_batch(packed(batch), batch.context_lengths, batch.branches, labels,
                                    model_.config().vocab_size);
  }
  /// Those of an update; they may be on the device already.
  std::vector<train::WorldModelBatch> batches(const std::vector<TrainingBatch>& given, const StepOptions& options) {
    if (std::optional<std::vector<train::WorldModelBatch>> there = ahead_.take(given, options.next_token_on)) {
      return std::move(*there);
    }
    std::vector<train::WorldModelBatch> result;
    for (const TrainingBatch& each : given) {
      // A shard may be left without a patient; an update that is one batch may not.
      const bool empty = options.shards.total > 1 && each.tokens.empty();
      result.push_back(empty ? train::WorldModelBatch() : batch(each, options.next_token_on));
    }
    return result;
  }
  void upload_ahead(const std::vector<TrainingBatch>& next, ScoredLabels labels) {
    ahead_.start(next, labels, [&](const TrainingBatch& each) { return batch(each, labels); });
  }
  memory::SideStream& copies() { return copies_; }
  model::PackedTokens packed(const PackedBatch& batch) const {
    model::PackedTokens result = model::packed_tokens(batch.tokens, batch.cu_seqlens, batch.position_ids,
                                                      model_.config().vocab_size, model_.device());
    result.layout.deterministic = model_.is_deterministic();
    return result;
  }
  /// The same; those that another rank writes into the file are on the meta device.
  std::vector<model::NamedTensor> written(StateKind kind) {
    std::vector<model::NamedTensor> result = state(kind);
    if (!is_shared()) return result;
    for (model::NamedTensor& entry : result) {
      // "exp_avg.model.norm.weight" is the parameter's.
      const bool of_optimizer = kind == StateKind::kOptimizer;
      const std::string name = of_optimizer ? entry.name.substr(entry.name.find('.') + 1) : entry.name;
      if (model_.training().is_own(name)) continue;
      entry.tensor = at::empty_like(entry.tensor.detach(), at::TensorOptions().device(at::kMeta));
    }
    return result;
  }
  /// Whether ranks own parts of the state.
  bool is_shared() const { return model_.is_shared(); }
  /// What of a file this process writes.
  io::FilePart part() const {
    if (!is_shared()) return io::FilePart::kWhole;
    return group_->group().rank() == 0 ? io::FilePart::kFirst : io::FilePart::kOther;
  }
  /// The tensors that a file of this kind holds, under the names it gives them.
  std::vector<model::NamedTensor> state(StateKind kind) {
    switch (kind) {
      case StateKind::kEncoder:
        return model_.encoder().named(model_.config());
      case StateKind::kTargetEncoder:
        return model_.training().target_encoder().weights().named(model_.config());
      case StateKind::kAdapters:
        return adapters_of(model_.encoder());
      case StateKind::kTargetAdapters:
        return adapters_of(model_.training().target_encoder().weights());
      case StateKind::kPredictor:
        return model_.training().predictor.named();
      case StateKind::kOptimizer:
        return model_.training().optimizer().state();
    }
    throw Error("[engine] unknown kind of state");
  }

 private:
  static std::vector<model::NamedTensor> adapters_of(const model::Qwen3Weights& weights) {
    if (weights.adapters.empty()) throw Error("[engine] adapters belong to a model with lora but this one has none");
    return weights.adapters.named();
  }
  train::WorldModel model_;
  train::BatchesAhead ahead_;
  memory::SideStream copies_;  ///< of the state, to the host
  std::shared_ptr<ProcessGroup> group_;
  std::optional<train::WholeModel> whole_model_;
};

class Snapshot::Implementation {
 public:
  std::map<StateKind, std::vector<model::NamedTensor>> parts;
  memory::Mark made;
  io::FilePart part = io::FilePart::kWhole;
};

Snapshot::Snapshot(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}
Snapshot::~Snapshot() = default;

void Snapshot::write(StateKind kind, const std::string& path,
                     const std::map<std::string, std::string>& metadata) const {
  const auto found = implementation_->parts.find(kind);
  if (found == implementation_->parts.end()) throw Error("[engine] the snapshot does not hold this part of the state");
  implementation_->made.wait_on_host();
  io::write_safetensors(path, found->second, metadata, std::nullopt, implementation_->part);
}

Engine::Engine(const EngineOptions& options) {
  memory::use_caching_allocator();
  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  implementation_ = std::make_unique<Implementation>(options);
  ++engines;
}
Engine::~Engine() {
  implementation_.reset();
  if (--engines == 0) memory::release_cached_memory();
}

void Engine::join(std::shared_ptr<ProcessGroup> group, ParallelKind kind) {
  implementation_->join(std::move(group), kind);
}

void Engine::gather_model(const std::atomic<bool>& cancelled) { implementation_->gather_model(cancelled); }
void Engine::release_model() { implementation_->release_model(); }

StepResult Engine::step(const std::vector<TrainingBatch>& batches, const StepOptions& options,
                        const std::vector<TrainingBatch>& next, const std::atomic<bool>& cancelled) {
  if (batches.empty()) throw Error("[step] batches must hold at least one batch but hold none");
  const std::vector<train::WorldModelBatch> tensors = implementation_->batches(batches, options);
  return train::step(implementation_->model(), tensors, options, cancelled, implementation_->group(),
                     [&] { implementation_->upload_ahead(next, options.next_token_on); });
}

Losses Engine::losses(const TrainingBatch& batch, const LossOptions& options, const std::atomic<bool>& cancelled) {
  return train::losses(implementation_->model(), implementation_->batch(batch, options.next_token_on), options,
                       cancelled);
}

std::vector<float> Engine::embed(const PackedBatch& batch, const std::vector<std::int32_t>& ends, Pooling pooling,
                                 EncoderChoice encoder, const std::vector<std::int32_t>& layers,
                                 const std::atomic<bool>& cancelled) {
  train::WorldModel& model = implementation_->model();
  const model::Qwen3Weights& weights =
      encoder == EncoderChoice::kEncoder ? model.whole_encoder() : model.training().target_weights();
  return floats("embed", "states",
                infer::embed(weights, model.config(), model.compute_dtype(), implementation_->packed(batch), ends,
                             pooling, layers, cancelled));
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
  const auto on_device = [&](const std::vector<float>& values) {
    return memory::upload(at::tensor(values, memory::on_host(at::kFloat)), model.device());
  };
  return floats("predict_latent", "predictions",
                model.predict_latent(on_device(states).view({rows, features}), on_device(days)));
}

Scores Engine::score(const PackedBatch& batch, bool with_hidden, const std::atomic<bool>& cancelled) {
  const train::WorldModel& model = implementation_->model();
  const infer::ScoreTensors scores = infer::score(model.whole_encoder(), model.config(), model.compute_dtype(),
                                                  implementation_->packed(batch), with_hidden, cancelled);
  return {floats("score", "log-probabilities", scores.log_probabilities),
          with_hidden ? floats("score", "hidden states", scores.hidden) : std::vector<float>()};
}

void Engine::trace(const TrainingBatch& batch, const LossOptions& options, const std::string& path,
                   const std::atomic<bool>& cancelled) {
  train::WorldModel& model = implementation_->model();
  const train::WorldModelBatch tensors = implementation_->batch(batch, options.next_token_on);
  const train::Gradients gradients = train::gradients(model, {&tensors, 1}, options, cancelled);
  const at::NoGradGuard no_grad;
  const model::Qwen3Weights weights = model::cast_weights(model.whole_encoder(), model.compute_dtype());
  const at::Tensor hidden_TD = model::qwen3_forward(weights, model.config(), tensors.packed.trunk(), cancelled);
  std::vector<model::NamedTensor> result{
      {"hidden", hidden_TD},
      {"logits", at::linear(hidden_TD, weights.lm_head)},
      {"loss", at::scalar_tensor(gradients.losses.loss, memory::on_host(at::kFloat))}};
  const std::vector<model::NamedTensor>& parameters = model.training().trainable;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (gradients.values[i].defined()) result.push_back({"grad." + parameters[i].name, gradients.values[i]});
  }
  io::write_safetensors(path, result, {}, Dtype::kFloat32);
}

void Engine::save(StateKind kind, const std::string& path, const SaveOptions& options) {
  std::vector<model::NamedTensor> tensors = implementation_->written(kind);
  if (options.names) tensors = chosen(tensors, *options.names);
  train::WorldModel& model = implementation_->model();
  // Without adapters nothing is merged, and each rank writes what it has of the weights.
  const bool of_target = kind == StateKind::kTargetEncoder;
  if (model.encoder().adapters.empty() || !(of_target || kind == StateKind::kEncoder)) {
    io::write_safetensors(path, tensors, options.metadata, options.dtype, implementation_->part());
    return;
  }
  const model::Qwen3Weights& weights = of_target ? model.training().target_weights() : model.whole_encoder();
  io::write_safetensors(path, model::merge_lora(tensors, weights.adapters), options.metadata, options.dtype,
                        implementation_->part());
}

void Engine::load(StateKind kind, const std::vector<TensorEntry>& entries, Placement placement) {
  train::WorldModel& model = implementation_->model();
  model.wait_for_copies();
  if (kind != StateKind::kEncoder || model.has_training_state()) {
    io::copy_safetensors(entries, implementation_->state(kind));
    return;
  }
  const auto is_read = [&](const std::string& name) { return model.keeps(name); };
  model.assign_encoder(io::read_safetensors(entries, model.encoder_tensors(), model.parameter_dtype(), placement,
                                            model.device(), is_read));
}

std::shared_ptr<Snapshot> Engine::snapshot(const std::vector<StateKind>& kinds) {
  auto copy = std::make_unique<Snapshot::Implementation>();
  for (const StateKind kind : kinds) {
    const std::vector<model::NamedTensor> entries = implementation_->written(kind);
    std::vector<at::Tensor> tensors;
    for (const model::NamedTensor& entry : entries) tensors.push_back(entry.tensor);
    const memory::HostCopies copies = memory::copy_to_host(tensors, implementation_->copies());
    std::vector<model::NamedTensor>& part = copy->parts[kind];
    for (std::size_t i = 0; i < entries.size(); ++i) part.push_back({entries[i].name, copies.tensors[i]});
    copy->made = copies.made;
  }
  implementation_->model().copied(copy->made);
  copy->part = implementation_->part();
  return std::make_shared<Snapshot>(std::move(copy));
}

std::int64_t Engine::parameter_count(const EngineOptions& options) {
  return train::WorldModel::parameter_count(options);
}

}  // namespace ehrjepa::api
