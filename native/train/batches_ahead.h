#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "contract/batch.h"
#include "contract/losses.h"
#include "memory/streams.h"
#include "train/batch.h"

namespace ehrjepa::train {

/// Batches of the next step, on their way to the device by a stream of their own while it computes this one. On the
/// host there is no way to go, and nothing is kept.
class BatchesAhead {
 public:
  using Make = std::function<WorldModelBatch(const TrainingBatch&)>;

  explicit BatchesAhead(at::Device device) : uploads_(device) {}

  /// Starts them. One that breaks a rule, or for which there is no memory, is left to its own step, which says so.
  void start(const std::vector<TrainingBatch>& batches, ScoredLabels labels, const Make& make);
  /// The tensors of these batches, if it is these that were started; otherwise what was started is dropped.
  std::optional<std::vector<WorldModelBatch>> take(const std::vector<TrainingBatch>& batches, ScoredLabels labels);

 private:
  struct Started {
    std::vector<TrainingBatch> batches;
    ScoredLabels labels;
    std::vector<WorldModelBatch> tensors;
    memory::Mark there;
  };
  memory::SideStream uploads_;
  std::optional<Started> started_;
};

}  // namespace ehrjepa::train
