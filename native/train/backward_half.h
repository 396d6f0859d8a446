#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <optional>

#include "train/gathered_weights.h"
#include "train/gradient_sum.h"
#include "train/leaves.h"
#include "train/losses.h"
#include "train/streamed_gradients.h"
#include "train/turns.h"
#include "train/update_gradients.h"
#include "train/update_in_backward.h"
#include "train/update_share.h"
#include "train/world_model.h"

namespace ehrjepa::train {

/// The second half of a pass: the backward passes of its batches, and the way of their gradients to one sum over shards
/// and ranks, or to the update of each parameter.
class BackwardHalf {
 public:
  struct Options {
    bool apart = false;     ///< the gradients of both losses are told apart, for their interference
    bool one_each = false;  ///< every process computes one batch of the update
  };

  /// @param leaves   must outlive it, as must `gathered`.
  /// @param gathered the encoder's weights, where ranks share them out; else null.
  /// @param updates  null: the gradients are kept. Else each process has one batch, and nothing is told apart.
  BackwardHalf(WorldModel& model, const Leaves& leaves, const UpdateShare& share, const Options& options,
               GatheredWeights* gathered, UpdateInBackward* updates, const std::atomic<bool>& cancelled);

  /// @param part  of this rank's batch; nothing where it computes none.
  /// @param any   what any rank does in this turn.
  void run(const LossSum::Share& part, const Turn& any);
  /// After the last batch of each shard.
  void end_shard();

  struct Result {
    GradientSum sum;      ///< nothing where updates were made
    at::Tensor products;  ///< `GradientSum::products` of both losses; undefined unless they are apart
  };
  /// Once, at the end, on every rank.
  Result total();

 private:
  template <typename Backward>
  void run(const at::Tensor& loss, bool any, const Backward& backward);

  WorldModel& model_;
  const Leaves& leaves_;
  const UpdateShare& share_;
  const Options options_;
  GatheredWeights* const gathered_;
  UpdateInBackward* const updates_;
  const std::atomic<bool>& cancelled_;
  UpdateGradients next_token_, together_;
  /// Where gradients are on their way while others are computed.
  std::optional<StreamedGradients> streamed_;
};

}  // namespace ehrjepa::train
