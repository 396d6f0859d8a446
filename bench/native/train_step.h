#pragma once
#include <cstdint>
#include <string>

namespace bench {

/// One variant of a training step, timed alone in its process so that its peak memory is its own.
struct TrainStepSettings {
  std::string variant;  ///< sft, query, masked, two-pass, monitors
  std::int64_t layers = 2;
  std::int64_t tokens = 3300;
  int steps = 3;
  bool bfloat16 = true;
  std::string device = "cpu";          ///< or "cuda:N"
  std::int64_t sequences = 1;          ///< of `tokens` each
  std::string checkpointing = "none";  ///< or "selective", "block"
  bool all_scored = false;             ///< else the half of a sequence that is its future, as in training
};

/// Prints one line of JSON: wall and CPU seconds of every step after two of warm-up, the loss of the last, tokens a
/// step without branches, FLOPs that the network's mathematics needs for one, and the most that the device's tensors
/// held.
int train_step(const TrainStepSettings& settings);

}  // namespace bench
