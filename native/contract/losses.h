#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contract/dtype.h"
#include "contract/fields.h"
#include "contract/names.h"
#include "contract/ranks.h"

namespace ehrjepa {

/// Numbers with names, in the order of the table they come from; an object in JavaScript. What is named so can grow by
/// a row of that table without a change at the border.
using NamedNumbers = std::vector<std::pair<std::string, double>>;

/// Distance of a prediction from its target.
enum class LatentLossKind {
  kMse,       ///< mean over positions and features of (prediction - target)^2: the paper's, as reported second-hand
  kSmoothL1,  ///< Huber with `beta` (I-JEPA: 1)
  kL1,        ///< mean absolute difference (V-JEPA)
  kCosine,    ///< mean over positions of 1 - cosine
};
template <>
struct Names<LatentLossKind> {
  static constexpr Named<LatentLossKind> table[] = {{"mse", LatentLossKind::kMse},
                                                    {"smooth-l1", LatentLossKind::kSmoothL1},
                                                    {"l1", LatentLossKind::kL1},
                                                    {"cosine", LatentLossKind::kCosine}};
};

/// Whose states the latent objective predicts.
enum class TargetKind {
  kEma,     ///< the target encoder's
  kOnline,  ///< the encoder's own, without gradient (SimSiam, VICReg)
  kViews,   ///< the encoder's own of a second view, with gradient and as they are (LLM-JEPA); needs BranchKind::kViews
};
template <>
struct Names<TargetKind> {
  static constexpr Named<TargetKind> table[] = {
      {"ema", TargetKind::kEma}, {"online", TargetKind::kOnline}, {"views", TargetKind::kViews}};
};

/// Which labels carry the next-token loss: those of the future, or all but the first token of a sequence.
enum class ScoredLabels { kFuture, kAll };
template <>
struct Names<ScoredLabels> {
  static constexpr Named<ScoredLabels> table[] = {{"future", ScoredLabels::kFuture}, {"all", ScoredLabels::kAll}};
};

struct LatentOptions {
  LatentLossKind loss = LatentLossKind::kMse;
  double beta = 1.0;  ///< of smooth L1
  TargetKind target = TargetKind::kEma;
  std::int64_t target_layers = 1;  ///< k > 1: mean over the last k blocks (data2vec); needs kEma
  /// Weights of the terms that keep predictions apart, by the names of objective/anti_collapse; 0 or absent is none.
  NamedNumbers anti_collapse;
};
template <>
struct Fields<LatentOptions> {
  static constexpr auto list = std::tuple(
      field("loss", &LatentOptions::loss), field("beta", &LatentOptions::beta), field("target", &LatentOptions::target),
      field("target_layers", &LatentOptions::target_layers), field("anti_collapse", &LatentOptions::anti_collapse));
};

struct LossOptions {
  double next_token_weight = 1.0;  ///< 0 switches the objective off
  double latent_weight = 1.0;      ///< 0 switches the objective off, and with it branches and target pass
  ScoredLabels next_token_on = ScoredLabels::kFuture;
  LatentOptions latent;
  std::uint64_t seed = 0;  ///< dropout masks and SIGReg's directions are drawn from seed and step
  std::uint32_t step = 0;
  bool with_collapse_monitors = false;
  bool with_interference = false;  ///< cosine of the two losses' gradients; costs a second backward pass
};
template <>
struct Fields<LossOptions> {
  static constexpr auto list = std::tuple(
      field("next_token_weight", &LossOptions::next_token_weight), field("latent_weight", &LossOptions::latent_weight),
      field("next_token_on", &LossOptions::next_token_on), field("latent", &LossOptions::latent),
      field("seed", &LossOptions::seed), field("step", &LossOptions::step),
      field("with_collapse_monitors", &LossOptions::with_collapse_monitors),
      field("with_interference", &LossOptions::with_interference));
};

/// How matrices other than the embedding are updated; everything else is by AdamW.
enum class MatrixUpdate { kAdamW, kMuon };
template <>
struct Names<MatrixUpdate> {
  static constexpr Named<MatrixUpdate> table[] = {{"adamw", MatrixUpdate::kAdamW}, {"muon", MatrixUpdate::kMuon}};
};

struct OptimizerOptions {
  double learning_rate = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  MatrixUpdate matrix_update = MatrixUpdate::kAdamW;
  double muon_momentum = 0.95;
};
template <>
struct Fields<OptimizerOptions> {
  static constexpr auto list = std::tuple(
      field("learning_rate", &OptimizerOptions::learning_rate), field("beta1", &OptimizerOptions::beta1),
      field("beta2", &OptimizerOptions::beta2), field("epsilon", &OptimizerOptions::epsilon),
      field("weight_decay", &OptimizerOptions::weight_decay), field("matrix_update", &OptimizerOptions::matrix_update),
      field("muon_momentum", &OptimizerOptions::muon_momentum));
};

/// What is not to be longer than the limit of clipping.
enum class ClipBy {
  kGlobal,     ///< the gradients of all parameters together
  kParameter,  ///< the gradient of each parameter
};
template <>
struct Names<ClipBy> {
  static constexpr Named<ClipBy> table[] = {{"global", ClipBy::kGlobal}, {"parameter", ClipBy::kParameter}};
};

struct StepOptions : LossOptions {
  OptimizerOptions optimizer;
  double gradient_clip = 1.0;  ///< largest norm; 0 does not clip
  ClipBy clip_by = ClipBy::kGlobal;
  /// Updates each parameter as soon as the backward pass has its gradient: the gradients never exist together. Needs
  /// one batch, of each rank where there are several, no reading of the interference, and no clipping by the global
  /// norm, which is known too late.
  bool update_in_backward = false;
  double momentum = 0.996;      ///< EMA decay of the target encoder
  bool restart_target = false;  ///< the target encoder becomes a copy of the encoder before the step
  /// In which gradients travel between ranks: float32, or bfloat16, rounded at random, which halves what is sent.
  Dtype collectives = Dtype::kFloat32;
  /// For debugging: it is an error when the host waits for the device before it reads the step's numbers.
  bool forbid_waits = false;
  /// Which shards of the update the batches are, an equal number of each, in order; those of other ranks are theirs.
  ShardRange shards;
};
template <>
struct Fields<StepOptions> {
  static constexpr auto list = fields_after<LossOptions>(
      field("optimizer", &StepOptions::optimizer), field("gradient_clip", &StepOptions::gradient_clip),
      field("clip_by", &StepOptions::clip_by), field("update_in_backward", &StepOptions::update_in_backward),
      field("momentum", &StepOptions::momentum), field("restart_target", &StepOptions::restart_target),
      field("collectives", &StepOptions::collectives), field("forbid_waits", &StepOptions::forbid_waits),
      field("shards", &StepOptions::shards));
};

struct Losses {
  double loss = 0.0;
  std::optional<double> next_token_loss;
  std::optional<double> latent_loss;
  std::int64_t scored_tokens = 0;      ///< labels that carried next-token loss
  std::optional<double> regulariser;   ///< weighted sum of the anti-collapse terms; present when one is on
  std::optional<double> interference;  ///< cosine of d next_token_loss and d latent_loss over the encoder's parameters
  std::optional<NamedNumbers> collapse;  ///< by the names of objective/collapse
};
template <>
struct Fields<Losses> {
  static constexpr auto list =
      std::tuple(field("loss", &Losses::loss), field("next_token_loss", &Losses::next_token_loss),
                 field("latent_loss", &Losses::latent_loss), field("scored_tokens", &Losses::scored_tokens),
                 field("regulariser", &Losses::regulariser), field("interference", &Losses::interference),
                 field("collapse", &Losses::collapse));
};

struct StepResult : Losses {
  double gradient_norm = 0.0;  ///< global L2 norm before clipping
};
template <>
struct Fields<StepResult> {
  static constexpr auto list = fields_after<Losses>(field("gradient_norm", &StepResult::gradient_norm));
};

}  // namespace ehrjepa
