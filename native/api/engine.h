#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "contract/batch.h"
#include "contract/losses.h"
#include "contract/model.h"
#include "contract/ranks.h"
#include "contract/reading.h"
#include "contract/state.h"

namespace ehrjepa::api {

class ProcessGroup;

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

  /// Steps are those of all ranks from now on, each with a share of every update. Before training begins, or its state
  /// is loaded, where ranks share that out: `load` then reads a rank's part of a file, `save` and `Snapshot::write`
  /// write it into the file that all ranks are given, and rank 0 writes the header.
  void join(std::shared_ptr<ProcessGroup> group, ParallelKind kind);
  /// Makes the encoders of which ranks keep parts whole on every rank until `release_model`, for `losses`, `embed` and
  /// `score`: a call of all ranks.
  void gather_model(const std::atomic<bool>& cancelled);
  void release_model();
  /// @param batches  micro-batches of one update; one of a shard may be empty.
  /// @param next     those of the next one, which go up to the device while it computes this one; empty: not known. On
  /// the CPU they are not looked at.
  StepResult step(const std::vector<TrainingBatch>& batches, const StepOptions& options,
                  const std::vector<TrainingBatch>& next, const std::atomic<bool>& cancelled);
  Losses losses(const TrainingBatch& batch, const LossOptions& options, const std::atomic<bool>& cancelled);
  /// States of prefixes of the sequences.
  /// @param ends    the row behind each prefix.
  /// @param layers  numbers of hidden states: 0 the embedding, k the output of block k, the last after the final norm.
  /// @return (ends x layers x hidden_size), row-major.
  std::vector<float> embed(const PackedBatch& batch, const std::vector<std::int32_t>& ends, Pooling pooling,
                           EncoderChoice encoder, const std::vector<std::int32_t>& layers,
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
