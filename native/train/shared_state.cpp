#include "train/shared_state.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

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

}  // namespace

WholeTarget::WholeTarget(TrainingState& training, distributed::Group* group, std::optional<at::ScalarType> dtype,
                         const std::atomic<bool>& cancelled)
    : training_(training) {
  if (!training.ownership || group == nullptr) return;
  const at::NoGradGuard no_grad;
  const Ownership& ownership = *training.ownership;
  // Its tensors, by parameter of the model: the predictor has none, and what is frozen is nobody's.
  std::vector<at::Tensor> kept(training.trainable.size()), whole(training.trainable.size()), all;
  for (const io::NamedTensor& weight : training.target_encoder.trainable()) {
    const at::ScalarType to = dtype.value_or(weight.tensor.scalar_type());
    std::size_t place = 0;
    while (place < training.trainable.size() && training.trainable[place].name != weight.name) ++place;
    if (place == training.trainable.size()) {
      all.push_back(weight.tensor.to(to));
      continue;
    }
    if (ownership.is_own(place)) kept[place] = weight.tensor;
    whole[place] = at::empty(weight.tensor.sizes(), memory::on_host(to));
    all.push_back(whole[place]);
  }
  const at::ScalarType on_the_way = dtype.value_or(all.front().scalar_type());
  const auto own = static_cast<std::size_t>(ownership.rank());
  gather_sections(*group, sections_of(ownership, kept)[own], sections_of(ownership, whole), on_the_way, cancelled);
  training.whole_target = training.target_encoder.with(all);
}

void gather_parameters(TrainingState& training, distributed::Group& group, const std::atomic<bool>& cancelled) {
  std::vector<at::Tensor> parameters;
  for (const io::NamedTensor& parameter : training.trainable) parameters.push_back(parameter.tensor.detach());
  const std::vector<FlatTensors> sections = sections_of(*training.ownership, parameters);
  gather_sections(group, sections[static_cast<std::size_t>(group.rank())], sections, parameters.front().scalar_type(),
                  cancelled);
}

at::Tensor global_norm(const std::vector<at::Tensor>& gradients, const TrainingState& training,
                       distributed::Group* group, const std::atomic<bool>& cancelled) {
  if (!training.ownership || group == nullptr) return gradient_norm(gradients);
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> own = squares_of(gradients);
  std::vector<at::Tensor> filled;
  for (const at::Tensor& one : own) {
    filled.push_back(one.defined() ? one : at::zeros({}, memory::on_host(at::kDouble)));
  }
  const std::vector<at::Tensor> merged = group->merge(at::stack(filled), cancelled).unbind();
  std::vector<at::Tensor> squares(own.size());
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (own[i].defined()) squares[i] = merged[i];
  }
  return norm_of(squares);
}

}  // namespace ehrjepa::train
