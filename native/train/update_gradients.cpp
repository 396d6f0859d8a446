#include "train/update_gradients.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "distributed/ownership.h"
#include "memory/transfer.h"

namespace ehrjepa::train {

void UpdateGradients::place_parameters() {
  places_.resize(leaves_.size());
  std::vector<std::size_t> order(leaves_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (share_.ownership != nullptr) {
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return share_.ownership->owner(i); });
  }
  std::vector<std::int64_t> lengths;
  for (const std::size_t parameter : order) {
    places_[parameter] = numbers_;
    lengths.push_back(leaves_.tensors[parameter].numel());
    numbers_ += lengths.back();
  }
  if (share_.rounding && share_.group != nullptr) {
    rounding_.emplace(share_.rounding->seed, share_.rounding->step, order, lengths);
  }
}

void UpdateGradients::end_shard() {
  if (share_.is_whole()) return;
  const at::NoGradGuard no_grad;
  // Zeros where no loss came: adding nothing and adding zero are not the same bits, so it is always the latter.
  at::Tensor flat = at::zeros({numbers_}, leaves_.tensors[0].options().dtype(at::kFloat).requires_grad(false));
  const std::vector<at::Tensor> values = shard_.take();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!values[i].defined()) continue;
    flat.narrow(0, places_[i], values[i].numel()).copy_(values[i].flatten());
    reached_[i] = 1;
  }
  sum_->add(std::move(flat));
}

GradientSum UpdateGradients::total(const std::atomic<bool>& cancelled) {
  if (share_.is_whole()) return std::move(shard_);
  const at::NoGradGuard no_grad;
  at::Tensor reached = at::tensor(reached_, memory::on_host(at::kByte));
  if (share_.group != nullptr) reached = share_.group->gather(reached, cancelled).amax(0);
  const distributed::Ownership* const ownership = share_.ownership;
  const at::Tensor flat = ownership == nullptr ? sum_->total(share_.group, cancelled)
                                               : sum_->section(*share_.group, ownership->loads(), cancelled).clone();
  // Of an owner the first parameter is where its part begins.
  std::int64_t start = 0;
  if (ownership != nullptr && !ownership->of(ownership->rank()).empty()) {
    start = places_[ownership->of(ownership->rank()).front()];
  }
  sum_.emplace(share_.shards, rounding_ ? &*rounding_ : nullptr);
  GradientSum result(leaves_);
  std::vector<at::Tensor> values;
  for (std::size_t i = 0; i < leaves_.size(); ++i) {
    const at::Tensor& leaf = leaves_.tensors[i];
    if (reached[static_cast<std::int64_t>(i)].item<std::uint8_t>() == 0) {
      values.emplace_back();
    } else if (ownership != nullptr && !ownership->is_own(i)) {
      values.push_back(at::empty_like(leaf, at::TensorOptions().dtype(leaves_.dtypes[i]).device(at::kMeta)));
    } else {
      values.push_back(flat.narrow(0, places_[i] - start, leaf.numel()).view(leaf.sizes()).to(leaves_.dtypes[i]));
    }
  }
  result.add_values(values);
  return result;
}

}  // namespace ehrjepa::train
