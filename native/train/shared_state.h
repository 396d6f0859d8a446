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
  WholeTarget(WorldModel& model, distributed::Group* group, std::optional<at::ScalarType> dtype,
              const std::atomic<bool>& cancelled);
  ~WholeTarget() { training_.whole_target.reset(); }
  WholeTarget(const WholeTarget&) = delete;
  WholeTarget& operator=(const WholeTarget&) = delete;

 private:
  TrainingState& training_;
};

/// Both encoders whole on every rank between two steps, in the compute dtype, as long as it lives; nothing where every
/// rank has them anyway.
class WholeModel {
 public:
  WholeModel(WorldModel& model, distributed::Group* group, const std::atomic<bool>& cancelled);
  ~WholeModel();
  WholeModel(const WholeModel&) = delete;
  WholeModel& operator=(const WholeModel&) = delete;

 private:
  TrainingState& training_;
  WholeTarget target_;
};

/// Gives all ranks the parameters that each has updated, but for those that stay with their owners.
void gather_parameters(WorldModel& model, distributed::Group& group, const std::atomic<bool>& cancelled);

/// |target - encoder| / |encoder| over what training may change, () float64: the same bits as of one process.
/// @param group  null: of a model whose state is here, or was gathered.
at::Tensor target_distance(WorldModel& model, distributed::Group* group, const std::atomic<bool>& cancelled);

/// Global L2 norm of the gradients of all ranks from the squares that each has of them (`squares_of`), () float64: the
/// same bits as of one process that has all.
at::Tensor global_norm(const std::vector<at::Tensor>& squares, const WorldModel& model, distributed::Group* group,
                       const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::train
