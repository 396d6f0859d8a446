#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ehrjepa::api {

/// Adapters over a frozen base; see `model::LoraOptions`.
struct LoraOptions {
  std::int64_t rank;
  double alpha, dropout;
  std::vector<std::string> targets;
};

enum class PredictorKind { kIdentity, kMlp, kTransformer };
/// See `model::PredictorOptions`.
struct PredictorOptions {
  PredictorKind kind;
  std::int64_t width, layers, heads;
  bool from_state;
};

/// Options of an engine; the fields are those of `NativeEngineOptions` in lib/native.ts.
struct EngineOptions {
  std::int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers;
  std::int64_t num_attention_heads, num_key_value_heads, head_dim;
  double rms_norm_eps, rope_theta, initializer_range;
  bool tie_word_embeddings;
  PredictorOptions predictor;
  std::string compute_dtype;    ///< "float32" or "bfloat16"
  std::string parameter_dtype;  ///< "float32", or "bfloat16" for a frozen model or the base of LoRA
  std::optional<LoraOptions> lora;
  std::vector<std::string> frozen;  ///< weights that training leaves alone, by name
  bool encoder_from_files;          ///< no random weights: `load` gives the encoder its tensors
  std::uint64_t seed;
  int threads;  ///< 0: libtorch's default
};

struct PackedBatch {
  std::vector<std::int32_t> tokens, cu_seqlens, position_ids;
};
enum class BranchKind { kCausal, kIsolated, kState, kViews };
/// Latent branches; see `train::BranchTable`.
struct BranchTable {
  std::vector<std::int32_t> sequences, cuts, cu_rows, tokens, position_ids, targets;
  std::vector<float> days;
  BranchKind kind;
  std::int64_t predictor_tokens;
};
struct TrainingBatch : PackedBatch {
  std::vector<std::int32_t> context_lengths;
  BranchTable branches;
};

enum class LatentLossKind { kMse, kSmoothL1, kL1, kCosine };
enum class TargetKind { kEma, kOnline, kViews };
struct LatentOptions {
  LatentLossKind loss;
  double beta;
  TargetKind target;
  std::int64_t target_layers;
  double variance_weight, covariance_weight, sigreg_weight;
};
struct LossOptions {
  double next_token_weight, latent_weight;
  bool score_all;
  bool with_collapse_monitors;
  bool with_interference;
  LatentOptions latent;
  std::uint64_t seed;
  std::uint32_t step;
};
struct StepOptions : LossOptions {
  double learning_rate, beta1, beta2, epsilon, weight_decay, gradient_clip, momentum;
  bool restart_target;
};

struct CollapseMonitors {
  double prediction_std, target_std, prediction_cosine, target_cosine;
  double prediction_effective_rank, target_effective_rank, batch_mean_loss, copy_context_loss, target_encoder_distance;
};
struct Losses {
  double loss;
  std::optional<double> next_token_loss, latent_loss;
  std::int64_t scored_tokens;
  std::optional<double> regulariser, interference;
  std::optional<CollapseMonitors> collapse;
};
struct StepResult : Losses {
  double gradient_norm;
};

struct TensorEntry {
  std::string name, path, dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin, end;
};
/// Under LoRA an encoder is saved with its adapters merged, and `load` gives `kEncoder` the base.
enum class StateKind { kEncoder, kTargetEncoder, kAdapters, kTargetAdapters, kPredictor, kOptimizer };
enum class Placement { kOwned, kMapped };
struct Scores {
  std::vector<float> log_probabilities;  ///< (T - S); none for the first token of a sequence
  std::vector<float> hidden;             ///< (T x hidden_size), empty unless asked for
};
struct SaveOptions {
  std::map<std::string, std::string> metadata;
  std::string dtype;               ///< "float32", "float16", "bfloat16"; empty: as the parameters are
  std::vector<std::string> names;  ///< which tensors, in this order; empty: all
};
enum class Pooling { kLast, kMean };
enum class EncoderChoice { kEncoder, kTargetEncoder };

/// Thrown by the calls below when their flag was raised; the state is as before the call.
bool is_cancellation(const std::exception& error);
/// The message of an exception without a C++ backtrace.
std::string message_of(const std::exception& error);

/// A copy of parts of an engine's state, to be written by another thread while the engine goes on.
class Snapshot {
 public:
  class Implementation;
  explicit Snapshot(std::unique_ptr<Implementation> implementation);
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  /// Writes a part as `Engine::save` does. May be called by any thread.
  void write(StateKind kind, const std::string& path, const std::map<std::string, std::string>& metadata) const;

 private:
  std::unique_ptr<Implementation> implementation_;
};

/// One model. Not thread-safe: every call must come from one and the same thread, because libtorch keeps a pool of
/// threads per calling thread. Construct it there as well.
class Engine {
 public:
  /// @throws on options that break a rule of the model.
  explicit Engine(const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// @param batches  micro-batches of one update.
  StepResult step(const std::vector<TrainingBatch>& batches, const StepOptions& options,
                  const std::atomic<bool>& cancelled);
  Losses losses(const TrainingBatch& batch, const LossOptions& options, const std::atomic<bool>& cancelled);
  /// (sequences x hidden_size), row-major.
  std::vector<float> embed(const PackedBatch& batch, Pooling pooling, EncoderChoice encoder,
                           const std::atomic<bool>& cancelled);
  /// Predicted target states from states of the encoder, some days after their last event.
  /// @param states  (rows x hidden_size), row-major; @param days (rows). @return (rows x hidden_size).
  std::vector<float> predict_latent(const std::vector<float>& states, const std::vector<float>& days);
  /// Log-probability of each token given those before it.
  Scores score(const PackedBatch& batch, bool with_hidden, const std::atomic<bool>& cancelled);
  /// Writes what a forward and backward pass makes as safetensors: `hidden` (T, D) and `logits` (T, V) of the clean
  /// sequences, `loss`, and `grad.<parameter>` before clipping. For comparisons with other programs.
  void trace(const TrainingBatch& batch, const LossOptions& options, const std::string& path,
             const std::atomic<bool>& cancelled);
  void save(StateKind kind, const std::string& path, const SaveOptions& options);
  void load(StateKind kind, const std::vector<TensorEntry>& entries, Placement placement);
  std::shared_ptr<Snapshot> snapshot(const std::vector<StateKind>& kinds);

  /// Checks the options and counts trainable scalars of encoder (adapters under LoRA) and predictor, without allocating
  /// anything.
  static std::int64_t parameter_count(const EngineOptions& options);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ehrjepa::api
