#include "train/gathered_model.h"

#include <algorithm>
#include <cstddef>
#include <string>

namespace ehrjepa::train {
namespace {

GatheredWeights::Owner owner_in(const TrainingState& training) {
  return [&training](const std::string& name) -> std::optional<std::int64_t> {
    const std::size_t place = training.place_of(name);
    // What is frozen every rank has.
    if (place == training.trainable.size()) return std::nullopt;
    return training.ownership->owner(place);
  };
}

}  // namespace

GatheredModel::GatheredModel(WorldModel& model, distributed::Group& group, bool with_target,
                             const std::atomic<bool>& cancelled)
    : model_(model),
      encoder_(model.encoder(), model.config(), owner_in(model.training()), model.device(), model.compute_dtype(),
               /*learns=*/true, group, cancelled) {
  if (with_target) {
    target_.emplace(model.training().target_encoder().weights(), model.config(), owner_in(model.training()),
                    model.device(), model.compute_dtype(), /*learns=*/false, group, cancelled);
  }
  model.compute_with(this);
}

Leaves GatheredModel::leaves() const {
  const TrainingState& training = model_.training();
  const std::vector<model::NamedTensor> weights = model_.encoder().trainable(model_.config());
  Leaves result;
  for (const io::NamedTensor& parameter : training.trainable) {
    const auto weight = std::ranges::find(weights, parameter.name, &io::NamedTensor::name);
    // The predictor's parameters every rank has.
    result.add(weight == weights.end() ? parameter.tensor
                                       : encoder_.leaves()[static_cast<std::size_t>(weight - weights.begin())],
               parameter.tensor.scalar_type());
  }
  return result;
}

}  // namespace ehrjepa::train
