#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "model/predictor.h"
#include "model/qwen3.h"
#include "model/target_encoder.h"
#include "objective/latent.h"
#include "train/batch.h"
#include "train/optimizer.h"

namespace ehrjepa::train {

/// Whose states the latent objective predicts.
enum class TargetKind {
  kEma,     ///< the target encoder's
  kOnline,  ///< the encoder's own, without gradient (SimSiam, VICReg)
  kViews,   ///< the encoder's own of a second view, with gradient and as they are (LLM-JEPA); needs BranchKind::kViews
};

struct LatentOptions {
  objective::LatentLossKind loss = objective::LatentLossKind::kMse;
  double beta = 1.0;  ///< of smooth L1
  TargetKind target = TargetKind::kEma;
  std::int64_t target_layers = 1;  ///< k > 1: mean over the last k blocks (data2vec); needs kEma
  double variance_weight = 0.0;    ///< of VICReg's terms and SIGReg on the predictions; 0 is none
  double covariance_weight = 0.0;
  double sigreg_weight = 0.0;
};

struct LossOptions {
  double next_token_weight = 1.0;  ///< 0 switches the objective off
  double latent_weight = 1.0;      ///< 0 switches the objective off, and with it branches and target pass
  LatentOptions latent;
  std::uint64_t seed = 0;  ///< dropout masks and SIGReg's directions are drawn from seed and step
  std::uint32_t step = 0;
  bool with_dropout = false;  ///< of the adapters; `WorldModel::step` switches it on
  bool with_collapse_monitors = false;
  bool with_interference = false;  ///< cosine of the two losses' gradients; costs a second backward pass
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
  std::optional<double> regulariser;   ///< weighted sum of the anti-collapse terms; present when one is on
  std::optional<double> interference;  ///< cosine of d next_token_loss and d latent_loss over the encoder's parameters
  std::optional<CollapseMonitors> collapse;
};

struct StepOptions : LossOptions {
  AdamWOptions optimizer;
  double gradient_clip = 1.0;   ///< largest global norm; 0 does not clip
  double momentum = 0.996;      ///< EMA decay of the target encoder
  bool restart_target = false;  ///< the target encoder becomes a copy of the encoder before the step
};

struct StepResult : Losses {
  double gradient_norm = 0.0;
};

struct WorldModelOptions {
  model::Qwen3Config config;
  model::PredictorOptions predictor;
  ComputeDtype compute_dtype = ComputeDtype::kFloat32;
  /// float32 trains; bfloat16 takes half the memory and is frozen: a model that is only read, or the base of LoRA.
  ComputeDtype parameter_dtype = ComputeDtype::kFloat32;
  std::optional<model::LoraOptions> lora = std::nullopt;  ///< train adapters over a frozen base
  std::vector<std::string> frozen = {};                   ///< weights that training leaves alone, by name
  std::uint64_t seed = 0;
  /// Leaves the encoder without memory until `assign_encoder`, instead of drawing random weights.
  bool encoder_from_files = false;
};

/// What training needs beside the encoder: 16 bytes per parameter, made when it is first asked for. Under LoRA the
/// target encoder shares the base, and the 16 bytes are per scalar of adapters and predictor.
struct TrainingState {
  TrainingState(const model::Qwen3Weights& encoder, const WorldModelOptions& options);
  model::Predictor predictor;
  model::TargetEncoder target_encoder;        ///< starts as a copy of the encoder
  std::vector<model::NamedTensor> trainable;  ///< of the encoder, then of the predictor
  AdamW optimizer;
};

/// Losses and the gradient of every trainable parameter, before clipping; undefined where a parameter has none.
struct Gradients {
  Losses losses;
  std::vector<at::Tensor> values;
};

/// Everything that training changes, and the one function that changes it.
class WorldModel {
 public:
  explicit WorldModel(const WorldModelOptions& options);

  /// One update: forward, backward, clipped AdamW, momentum update of the target encoder. Both objectives share one
  /// packed forward pass: the next-token loss reads the trunk, the latent loss the branches.
  /// @param batches  micro-batches of one update: each loss is the mean over all of them together, so that the update
  /// is
  ///                 that of one large batch. The anti-collapse terms are means over the micro-batches.
  /// @throws Cancelled, or Error for a loss that is not finite; parameters, moments and target encoder are then as
  /// before.
  StepResult step(std::span<const WorldModelBatch> batches, const StepOptions& options,
                  const std::atomic<bool>& cancelled);

  /// The same losses without an update.
  Losses losses(const WorldModelBatch& batch, const LossOptions& options, const std::atomic<bool>& cancelled);

  /// Losses and gradients without an update; one gradient per `training().trainable`.
  Gradients gradients(std::span<const WorldModelBatch> batches, const LossOptions& options,
                      const std::atomic<bool>& cancelled);

  /// Predicted normalised target states, some days after the last event of S(t). No gradients.
  /// @param state_MD  (M, D) states of the encoder; @param days_M (M), not negative. @return (M, D) float32.
  /// @throws Error when the predictor needs branch rows.
  at::Tensor predict_latent(const at::Tensor& state_MD, const at::Tensor& days_M);

  const model::Qwen3Config& config() const { return options_.config; }
  at::ScalarType compute_dtype() const;
  at::ScalarType parameter_dtype() const;
  /// @throws Error when the encoder waits for its files.
  const model::Qwen3Weights& encoder() const;
  /// Names and shapes, whether there is memory or not.
  std::vector<model::NamedTensor> encoder_tensors() const { return encoder_.named(options_.config); }
  /// Gives the encoder its tensors, in the order of `encoder_tensors`, in the parameter dtype. Only before training.
  void assign_encoder(const std::vector<at::Tensor>& tensors);
  bool has_encoder() const { return !encoder_.embed_tokens.is_meta(); }
  bool has_training_state() const { return training_ != nullptr; }
  /// @throws Error when the parameters are bfloat16 and there are no adapters.
  TrainingState& training();

 private:
  /// Losses of one batch with their graph; undefined where an objective is off.
  struct Forward {
    at::Tensor next_token;
    at::Tensor latent;       ///< the regression alone
    at::Tensor regulariser;  ///< weighted
    Losses values;
  };
  Forward forward(const WorldModelBatch& batch, const LossOptions& options, const std::atomic<bool>& cancelled);
  at::Tensor predict(const WorldModelBatch& batch, const at::Tensor& hidden_TD);
  void latent_forward(const WorldModelBatch& batch, const at::Tensor& hidden_TD, const LossOptions& options,
                      const std::atomic<bool>& cancelled, Forward& result);

  WorldModelOptions options_;
  model::Qwen3Weights encoder_;
  std::unique_ptr<TrainingState> training_;
};

}  // namespace ehrjepa::train
