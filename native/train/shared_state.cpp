#include "train/shared_state.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "distributed/sections.h"
#include "memory/transfer.h"

namespace ehrjepa::train {
namespace {

using distributed::FlatTensors;
using distributed::Ownership;

/// Of each rank, its tensors one behind another. @param tensors  by parameter; undefined ones are left out.
std::vector<FlatTensors> sections_of(const Ownership& ownership, const std::vector<at::Tensor>& tensors) {
  std::vector<FlatTensors> result;
  for (std::int64_t rank = 0; rank < ownership.ranks(); ++rank) {
    std::vector<at::Tensor> own;
    for (const std::size_t parameter : ownership.of(rank)) {
      if (tensors[parameter].defined()) own.push_back(tensors[parameter]);
    }
    result.emplace_back(own);
  }
  return result;
}

/// An encoder of which ranks keep parts, whole. @param dtype  absent: its own.
model::Qwen3Weights whole(const model::Qwen3Weights& weights, const Qwen3Config& config, const TrainingState& training,
                          at::Device device, distributed::Group& group, std::optional<at::ScalarType> dtype,
                          const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  const Ownership& ownership = *training.ownership;
  // Its tensors, by parameter of the model: the predictor has none, and what is frozen is nobody's.
  std::vector<at::Tensor> kept(training.trainable.size()), whole(training.trainable.size()), all;
  for (const io::NamedTensor& weight : weights.trainable(config)) {
    const at::ScalarType to = dtype.value_or(weight.tensor.scalar_type());
    const std::size_t place = training.place_of(weight.name);
    if (place == training.trainable.size()) {
      all.push_back(weight.tensor.to(to));
      continue;
    }
    if (ownership.is_own(place)) kept[place] = weight.tensor;
    whole[place] = at::empty(weight.tensor.sizes(), at::TensorOptions(device).dtype(to));
    all.push_back(whole[place]);
  }
  const at::ScalarType on_the_way = dtype.value_or(all.front().scalar_type());
  const auto own = static_cast<std::size_t>(ownership.rank());
  gather_sections(group, sections_of(ownership, kept)[own], sections_of(ownership, whole), on_the_way, cancelled);
  return weights.with(config, all);
}

}  // namespace

WholeTarget::WholeTarget(WorldModel& model, distributed::Group* group, std::optional<at::ScalarType> dtype,
                         const std::atomic<bool>& cancelled)
    : training_(model.training()) {
  if (!training_.ownership || group == nullptr) return;
  training_.whole_target = whole(training_.target_encoder().weights(), training_.target_encoder().config(), training_,
                                 model.device(), *group, dtype, cancelled);
}

WholeModel::WholeModel(WorldModel& model, distributed::Group* group, const std::atomic<bool>& cancelled)
    : training_(model.training()), target_(model, group, model.compute_dtype(), cancelled) {
  if (!training_.ownership || group == nullptr) return;
  training_.whole_distance = target_distance(model, group, cancelled);
  if (model.shares_encoder()) {
    training_.whole_encoder =
        whole(model.encoder(), model.config(), training_, model.device(), *group, model.compute_dtype(), cancelled);
  }
}

WholeModel::~WholeModel() {
  training_.whole_encoder.reset();
  training_.whole_distance.reset();
}

void gather_parameters(WorldModel& model, distributed::Group& group, const std::atomic<bool>& cancelled) {
  const TrainingState& training = model.training();
  std::vector<at::Tensor> parameters;
  for (const io::NamedTensor& parameter : training.trainable) parameters.push_back(parameter.tensor.detach());
  if (model.shares_encoder()) {
    // Its weights stay with their owners.
    std::fill_n(parameters.begin(), training.trainable_of_encoder, at::Tensor());
    if (training.trainable_of_encoder == parameters.size()) return;
  }
  const std::vector<FlatTensors> sections = sections_of(*training.ownership, parameters);
  gather_sections(group, sections[static_cast<std::size_t>(group.rank())], sections, parameters.back().scalar_type(),
                  cancelled);
}

at::Tensor target_distance(WorldModel& model, distributed::Group* group, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  TrainingState& training = model.training();
  const model::TargetEncoder& target = training.target_encoder();
  if (!training.ownership) return target.relative_distance(model.encoder());
  if (group == nullptr) {
    (void)training.target_weights();
    return training.whole_distance;
  }
  at::Tensor squares = target.squares(model.encoder(), model.device());
  if (model.shares_encoder()) {
    // What every rank has counts once.
    const std::vector<model::NamedTensor> weights = target.trainable();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (!training.is_own(weights[i].name)) squares[static_cast<std::int64_t>(i)].zero_();
    }
    squares = group->merge(squares, cancelled);
  }
  return target.relative_distance(group->merge(target.squared_distances(model.encoder(), model.device()), cancelled),
                                  squares);
}

at::Tensor global_norm(const std::vector<at::Tensor>& squares, const WorldModel& model, distributed::Group* group,
                       const std::atomic<bool>& cancelled) {
  if (!model.is_shared() || group == nullptr) return norm_of(squares);
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> filled;
  for (const at::Tensor& one : squares) {
    // Of those of others there is a zero of the host.
    filled.push_back(one.defined() ? one.to(model.device())
                                   : at::zeros({}, at::TensorOptions(model.device()).dtype(at::kDouble)));
  }
  const std::vector<at::Tensor> merged = group->merge(at::stack(filled), cancelled).unbind();
  std::vector<at::Tensor> all(squares.size());
  for (std::size_t i = 0; i < squares.size(); ++i) {
    if (squares[i].defined()) all[i] = merged[i];
  }
  return norm_of(all);
}

}  // namespace ehrjepa::train
