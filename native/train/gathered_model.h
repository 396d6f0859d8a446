#pragma once
#include <atomic>
#include <optional>

#include "distributed/group.h"
#include "train/gathered_weights.h"
#include "train/leaves.h"
#include "train/world_model.h"

namespace ehrjepa::train {

/// What the passes of a step compute with where ranks share out the parameters of the encoder: the model knows it as
/// long as it lives.
class GatheredModel {
 public:
  /// @param with_target  whether its passes read the target encoder.
  GatheredModel(WorldModel& model, distributed::Group& group, bool with_target, const std::atomic<bool>& cancelled);
  ~GatheredModel() { model_.compute_with(nullptr); }
  GatheredModel(const GatheredModel&) = delete;
  GatheredModel& operator=(const GatheredModel&) = delete;

  GatheredWeights& encoder() { return encoder_; }
  /// Null without one.
  GatheredWeights* target() { return target_ ? &*target_ : nullptr; }
  /// Of the model's trained parameters.
  Leaves leaves() const;

 private:
  WorldModel& model_;
  GatheredWeights encoder_;
  std::optional<GatheredWeights> target_;
};

}  // namespace ehrjepa::train
