#include "train/backward_half.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "core/error.h"
#include "distributed/group.h"

namespace ehrjepa::train {
namespace {

/// The trained parameters of each block, the last block first, and behind them those of no block.
StreamedGradients::Units units_of(WorldModel& model) {
  const std::vector<std::optional<std::size_t>> blocks = model.encoder().blocks(model.config());
  const std::vector<io::NamedTensor> weights = model.encoder().trainable(model.config());
  const TrainingState& training = model.training();
  const auto count = static_cast<std::size_t>(model.config().num_hidden_layers);
  StreamedGradients::Units result(count + 1);
  for (std::size_t i = 0; i < training.trainable.size(); ++i) {
    const auto weight = std::ranges::find(weights, training.trainable[i].name, &io::NamedTensor::name);
    const auto block =
        weight == weights.end() ? std::nullopt : blocks[static_cast<std::size_t>(weight - weights.begin())];
    result[block ? count - 1 - *block : count].push_back(i);
  }
  return result;
}

}  // namespace

BackwardHalf::BackwardHalf(WorldModel& model, const Leaves& leaves, const UpdateShare& share, const Options& options,
                           GatheredWeights* gathered, UpdateInBackward* updates, const std::atomic<bool>& cancelled)
    : model_(model),
      leaves_(leaves),
      share_(share),
      options_(options),
      gathered_(gathered),
      updates_(updates),
      cancelled_(cancelled),
      next_token_(leaves, share),
      together_(leaves, share) {
  if (updates != nullptr && (!options.one_each || options.apart)) {
    throw Error("[step] an update in the backward pass needs one batch of each rank, and no reading of interference");
  }
  const bool at_the_end = model.parallel_kind() == ParallelKind::kZero1 && updates == nullptr;
  if (share.group == nullptr || !options.one_each || options.apart || at_the_end) return;
  const auto consume = [updates](std::size_t parameter, const at::Tensor& gradient) {
    updates->apply(parameter, gradient);
  };
  streamed_.emplace(leaves, share, gathered == nullptr ? StreamedGradients::Units() : units_of(model),
                    updates == nullptr ? StreamedGradients::Consume() : consume, cancelled);
  if (gathered != nullptr) gathered->when_done([this](std::size_t) { streamed_->send_unit(); });
}

template <typename Backward>
void BackwardHalf::run(const at::Tensor& loss, bool any, const Backward& backward) {
  if (!loss.defined()) {
    // Others compute with weights that this rank has.
    if (gathered_ != nullptr && any) gathered_->follow_backward();
    return;
  }
  require_trained(loss);
  if (gathered_ != nullptr) gathered_->begin_backward();
  backward();
  if (gathered_ != nullptr) gathered_->end_backward();
}

void BackwardHalf::run(const LossSum::Share& part, const Turn& any) {
  if (options_.apart) {
    run(part.next_token, any.computes,
        [&] { next_token_.shard().add(part.next_token, /*keep_graph=*/part.latent.defined()); });
    run(part.latent, any.predicts, [&] { together_.shard().add(part.latent, /*keep_graph=*/false); });
    return;
  }
  const at::Tensor loss = part.sum();
  run(loss, any.computes, [&] {
    if (streamed_) {
      streamed_->backward(loss);
    } else if (updates_ != nullptr) {
      updates_->backward(loss, leaves_);
    } else {
      together_.shard().add(loss, /*keep_graph=*/false);
    }
  });
}

void BackwardHalf::end_shard() {
  if (options_.apart) next_token_.end_shard();
  if (!streamed_) together_.end_shard();
}

BackwardHalf::Result BackwardHalf::total() {
  Result result{streamed_ ? streamed_->total() : together_.total(cancelled_), {}};
  if (!options_.apart) return result;
  const GradientSum of_next_token = next_token_.total(cancelled_);
  result.products = of_next_token.products(result.sum, model_.training().trainable_of_encoder);
  if (share_.ownership != nullptr) result.products = share_.group->merge(result.products, cancelled_);
  result.sum.add(of_next_token);
  return result;
}

}  // namespace ehrjepa::train
