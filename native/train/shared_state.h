#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <optional>
#include <vector>

#include "distributed/group.h"
#include "train/world_model.h"

// What ranks that own parts of the training state tell each other of it.
namespace ehrjepa::train {

/// The target encoder whole on every rank, as long as it lives; nothing where every rank has it anyway.
class WholeTarget {
 public:
  /// @param dtype  of the copy; absent: its own.
  WholeTarget(TrainingState& training, distributed::Group* group, std::optional<at::ScalarType> dtype,
              const std::atomic<bool>& cancelled);
  ~WholeTarget() { training_.whole_target.reset(); }
  WholeTarget(const WholeTarget&) = delete;
  WholeTarget& operator=(const WholeTarget&) = delete;

 private:
  TrainingState& training_;
};

/// Gives all ranks the parameters that each has updated.
void gather_parameters(TrainingState& training, distributed::Group& group, const std::atomic<bool>& cancelled);

/// Global L2 norm of the gradients of all ranks, () float64: the same bits as of one process that has all.
at::Tensor global_norm(const std::vector<at::Tensor>& gradients, const TrainingState& training,
                       distributed::Group* group, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::train
