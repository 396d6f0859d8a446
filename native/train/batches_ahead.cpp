#include "train/batches_ahead.h"

#include <exception>
#include <utility>

namespace ehrjepa::train {

void BatchesAhead::start(const std::vector<TrainingBatch>& batches, ScoredLabels labels, const Make& make) {
  started_.reset();
  if (!uploads_.exists() || batches.empty()) return;
  try {
    Started next{batches, labels, {}, {}};
    uploads_.run([&] {
      for (const TrainingBatch& batch : batches) next.tensors.push_back(make(batch));
    });
    next.there = uploads_.mark();
    started_ = std::move(next);
  } catch (const std::exception&) {
    // Its own step makes it again, and fails with the same words.
  }
}

std::optional<std::vector<WorldModelBatch>> BatchesAhead::take(const std::vector<TrainingBatch>& batches,
                                                               ScoredLabels labels) {
  const std::optional<Started> started = std::exchange(started_, std::nullopt);
  if (!started || started->labels != labels || started->batches != batches) return std::nullopt;
  started->there.wait();
  for (const WorldModelBatch& batch : started->tensors) {
    for (const at::Tensor& tensor : {batch.packed.tokens, batch.packed.position_ids, batch.scored_rows, batch.labels,
                                     batch.predicted_rows, batch.days}) {
      uploads_.lend(tensor);
    }
  }
  return started->tensors;
}

}  // namespace ehrjepa::train
