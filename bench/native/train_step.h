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
};

/// Prints one line of JSON: wall and CPU seconds of every step after two of warm-up, and the loss of the last.
int train_step(const TrainStepSettings& settings);

}  // namespace bench
