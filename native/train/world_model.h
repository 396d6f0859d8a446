#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "contract/model.h"
#include "contract/ranks.h"
#include "distributed/ownership.h"
#include "memory/streams.h"
#include "model/predictor.h"
#include "model/qwen3.h"
#include "model/target_encoder.h"
#include "train/optimizer.h"

namespace ehrjepa::train {

class GatheredModel;

/// What of the training state this process keeps, among `ranks`.
struct StateShare {
  ParallelKind kind = ParallelKind::kDdp;
  std::int64_t rank = 0;
  std::int64_t ranks = 1;
};

/// What training needs beside the encoder, each part made when it is first asked for: moments and target, 12 bytes per
/// parameter in float32 and 6 in bfloat16, and gradients. Under LoRA the target encoder shares the base, and all of it
/// is float32, per scalar of adapters and predictor.
struct TrainingState {
  /// @param encoder  the model's; it outlives the state.
  TrainingState(const model::Qwen3Weights& encoder, const EngineOptions& options, at::Device device,
                const StateShare& share);
  model::Predictor predictor;
  std::vector<io::NamedTensor> trainable;  ///< of the encoder, then of the predictor
  std::size_t trainable_of_encoder;        ///< how many of them are the encoder's
  /// Which rank keeps moments and target of each of them; absent: this process keeps all.
  std::optional<distributed::Ownership> ownership;
  /// Both encoders in the memory of every rank, while they are needed.
  std::optional<model::Qwen3Weights> whole_encoder, whole_target;
  /// Their relative distance, () float64, where they are whole between two steps.
  at::Tensor whole_distance;

  /// Starts as a copy of what the encoder is when it is first asked for, before the first update at the latest.
  model::TargetEncoder& target_encoder();
  /// Asked for by the first update, or to be loaded or saved: a model that is only read has no moments.
  Optimizer& optimizer();

  /// To be computed with. @throws Error when it is spread over ranks and was not gathered.
  const model::Qwen3Weights& target_weights();
  /// Whether this rank owns a parameter; what is nobody's is rank 0's.
  bool is_own(const std::string& name) const;

  /// Number of a parameter; that of all where there is none of the name.
  std::size_t place_of(const std::string& name) const;

 private:
  const model::Qwen3Weights& encoder_;
  Qwen3Config config_;
  std::optional<model::TargetEncoder> target_encoder_;
  std::optional<Optimizer> optimizer_;
};

/// Encoder f, target encoder f', predictor g and the optimiser's moments: everything that training changes.
class WorldModel {
 public:
  explicit WorldModel(const EngineOptions& options);
  WorldModel(const WorldModel&) = delete;
  WorldModel& operator=(const WorldModel&) = delete;

  /// Predicted normalised target states, some days after the last event of S(t). No gradients.
  /// @param state_MD  (M, D) states of the encoder; @param days_M (M), not negative. @return (M, D) float32.
  /// @throws Error when the predictor needs branch rows.
  at::Tensor predict_latent(const at::Tensor& state_MD, const at::Tensor& days_M);

  const Qwen3Config& config() const { return options_.config; }
  at::ScalarType compute_dtype() const;
  at::ScalarType parameter_dtype() const;
  /// Where everything of the model lives and is computed.
  at::Device device() const { return device_; }
  /// For the target encoder's pass, beside the encoder's; none on the host.
  memory::SideStream& target_stream() { return target_stream_; }
  /// The state is being copied, until `made`: what changes it calls `wait_for_copies` before.
  void copied(const memory::Mark& made) { copied_ = made; }
  /// The device changes nothing from now on until the copies are made. The host does not wait.
  void wait_for_copies() { std::exchange(copied_, {}).wait(); }
  bool is_deterministic() const { return options_.deterministic; }
  ActivationCheckpointing activation_checkpointing() const { return options_.activation_checkpointing; }
  /// @throws Error when the encoder waits for its files, or the model was abandoned.
  /// Where ranks share it out, what others keep is on the meta device.
  const model::Qwen3Weights& encoder() const;
  /// To be computed with between two steps. @throws Error when ranks share it out and it was not gathered.
  const model::Qwen3Weights& whole_encoder() const;
  /// Names and shapes, whether there is memory or not.
  std::vector<io::NamedTensor> encoder_tensors() const { return encoder_.named(options_.config); }
  /// Gives the encoder its tensors, in the order of `encoder_tensors`, in the parameter dtype and on the
  /// device. Only before training.
  void assign_encoder(const std::vector<at::Tensor>& tensors);
  bool has_encoder() const { return has_encoder_; }
  /// Whether this process keeps a weight of the encoder.
  bool keeps(const std::string& name) const;
  bool has_training_state() const { return training_ != nullptr; }
  /// @throws Error when the parameters are bfloat16, without stochastic rounding or adapters, or the model was
  /// abandoned.
  TrainingState& training();
  /// Ranks train it together. @throws Error when training has begun and the state would have to be shared out.
  void share(const StateShare& share);
  /// Whether ranks own parts of the training state.
  bool is_shared() const { return share_.kind != ParallelKind::kDdp && share_.ranks > 1; }
  /// Whether they own parts of the encoder itself.
  bool shares_encoder() const { return share_.kind == ParallelKind::kZero3 && share_.ranks > 1; }
  /// What the passes of a step compute with where they do; null between two steps.
  GatheredModel* gathered() const { return gathered_; }
  void compute_with(GatheredModel* gathered) { gathered_ = gathered; }
  ParallelKind parallel_kind() const { return share_.kind; }
  /// An update broke off half made: nobody is to read, train or save what there is.
  void abandon() { abandoned_ = true; }

  /// Checks options and counts trainable scalars of encoder (adapters under LoRA) and predictor, without memory.
  static std::int64_t parameter_count(const EngineOptions& options);

 private:
  EngineOptions options_;
  at::Device device_;
  memory::SideStream target_stream_;
  memory::Mark copied_;
  model::Qwen3Weights encoder_;
  std::unique_ptr<TrainingState> training_;
  StateShare share_;
  /// Of the encoder's weights that are trained, those of other ranks.
  std::unordered_set<std::string> elsewhere_;
  GatheredModel* gathered_ = nullptr;
  bool has_encoder_;
  bool abandoned_ = false;

  void require_whole() const;
  /// Leaves the weights of other ranks to them.
  void keep_own_part();
};

}  // namespace ehrjepa::train
