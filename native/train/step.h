#pragma once
#include <atomic>
#include <optional>

#include "core/dtype.h"
#include "model/predictor.h"
#include "model/qwen3.h"
#include "model/target_encoder.h"
#include "train/batch.h"
#include "train/optimizer.h"

namespace ehrjepa::train {

struct LossOptions {
  double next_token_weight = 1.0;  ///< 0 switches the objective off
  double latent_weight = 1.0;      ///< 0 switches the objective off, and with it the masked and the target pass
  bool with_collapse_monitors = false;
};

struct CollapseMonitors {
  double prediction_std, target_std;
  double prediction_cosine, target_cosine;
  double prediction_effective_rank, target_effective_rank;
  double batch_mean_loss, copy_context_loss;
  double target_encoder_distance;
};

struct Losses {
  double loss = 0.0;
  std::optional<double> next_token_loss;
  std::optional<double> latent_loss;
  std::int64_t scored_tokens = 0;
  std::optional<CollapseMonitors> collapse;
};

struct StepOptions : LossOptions {
  AdamWOptions optimizer;
  double gradient_clip = 1.0;  ///< largest global norm; 0 does not clip
  double momentum = 0.996;     ///< EMA decay of the target encoder
};

struct StepResult : Losses {
  double gradient_norm = 0.0;
};

/// Everything that training changes, and the one function that changes it.
class WorldModel {
 public:
  WorldModel(const model::Qwen3Config& config, std::int64_t predictor_width, ComputeDtype compute_dtype,
             std::uint64_t seed);

  /// One update: forward, backward, clipped AdamW, momentum update of the target encoder.
  /// The two objectives take two forward passes of the encoder (clean, masked) and one of the target encoder.
  /// @throws Cancelled, or Error for a loss that is not finite; parameters, moments and target encoder are then as
  /// before.
  StepResult step(const WorldModelBatch& batch, const StepOptions& options, const std::atomic<bool>& cancelled);

  /// The same losses without an update.
  Losses losses(const WorldModelBatch& batch, const LossOptions& options, const std::atomic<bool>& cancelled) const;

  const model::Qwen3Config& config() const { return config_; }
  at::ScalarType compute_dtype() const { return compute_dtype_; }
  const model::Qwen3Weights& encoder() const { return encoder_; }
  const model::TargetEncoder& target_encoder() const { return target_encoder_; }
  const model::Predictor& predictor() const { return predictor_; }
  const AdamW& optimizer() const { return optimizer_; }

 private:
  /// Losses with their graph; `total` is undefined when no objective is on.
  struct Forward {
    at::Tensor total;
    Losses values;
  };
  Forward forward(const WorldModelBatch& batch, const LossOptions& options, const std::atomic<bool>& cancelled) const;

  model::Qwen3Config config_;
  at::ScalarType compute_dtype_;
  model::Qwen3Weights encoder_;
  model::Predictor predictor_;
  model::TargetEncoder target_encoder_;
  std::vector<model::NamedTensor> trainable_;
  AdamW optimizer_;
};

}  // namespace ehrjepa::train
