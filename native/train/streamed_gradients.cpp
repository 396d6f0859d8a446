#include "train/streamed_gradients.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "distributed/ownership.h"
#include "distributed/sections.h"
#include "distributed/shard_sum.h"
#include "memory/transfer.h"

namespace ehrjepa::train {
namespace {

// One bucket is on its way while the next is filled.
constexpr std::size_t kUnderWay = 1;

}  // namespace

StreamedGradients::StreamedGradients(const Leaves& leaves, const UpdateShare& share, const Units& units,
                                     const std::atomic<bool>& cancelled)
    : leaves_(leaves),
      share_(share),
      cancelled_(cancelled),
      bucket_of_(leaves.size()),
      in_units_(!units.empty()),
      waiting_(leaves.size()),
      sums_(leaves.size()),
      reached_(leaves.size()) {
  for (const std::vector<std::size_t>& unit : units) {
    fill_buckets(unit);
    ends_.push_back(buckets_.size());
  }
  if (!in_units_) {
    std::vector<std::size_t> backwards;
    for (std::size_t i = leaves.size(); i-- > 0;) backwards.push_back(i);
    fill_buckets(backwards);
  }
  for (Bucket& bucket : buckets_) divide(bucket);
}

void StreamedGradients::fill_buckets(const std::vector<std::size_t>& parameters) {
  std::int64_t numbers = distributed::kBucket;
  for (const std::size_t i : parameters) {
    if (numbers >= distributed::kBucket) {
      buckets_.emplace_back();
      numbers = 0;
    }
    numbers += leaves_.tensors[i].numel();
    buckets_.back().parameters.push_back(i);
    ++buckets_.back().missing;
    bucket_of_[i] = buckets_.size() - 1;
  }
}

void StreamedGradients::divide(Bucket& bucket) const {
  const std::int64_t ranks = share_.group->size();
  bucket.lengths.assign(static_cast<std::size_t>(ranks), 0);
  if (share_.ownership != nullptr) {
    // One rank's behind another's.
    std::ranges::stable_sort(bucket.parameters, {}, [&](std::size_t i) { return share_.ownership->owner(i); });
    for (const std::size_t i : bucket.parameters) {
      bucket.lengths[static_cast<std::size_t>(share_.ownership->owner(i))] += leaves_.tensors[i].numel();
    }
    return;
  }
  std::int64_t all = 0;
  for (const std::size_t i : bucket.parameters) all += leaves_.tensors[i].numel();
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    bucket.lengths[static_cast<std::size_t>(rank)] = (rank + 1) * all / ranks - rank * all / ranks;
  }
}

void StreamedGradients::backward(const at::Tensor& loss) {
  require_trained(loss);
  const GradientHooks hooks(
      leaves_.tensors, [this](std::size_t parameter, const at::Tensor& gradient) { receive(parameter, gradient); });
  torch::autograd::backward({loss});
}

void StreamedGradients::receive(std::size_t parameter, const at::Tensor& gradient) {
  if (bucket_of_[parameter] < next_) throw Error("[step] the gradient of a parameter came after its sum was made");
  waiting_[parameter] = gradient.to(leaves_.dtypes[parameter]);
  reached_[parameter] = 1;
  --buckets_[bucket_of_[parameter]].missing;
  // In one order on all ranks, whatever each computes.
  while (!in_units_ && next_ < buckets_.size() && buckets_[next_].missing == 0) send(next_++);
}

void StreamedGradients::send_unit() {
  while (next_ < ends_.front()) send(next_++);
  ends_.pop_front();
}

void StreamedGradients::send(std::size_t bucket) {
  while (under_way_.size() > kUnderWay) finish_first();
  const Bucket& own = buckets_[bucket];
  std::int64_t numbers = 0;
  for (const std::int64_t length : own.lengths) numbers += length;
  // Zeros where no loss came, as in `UpdateGradients`.
  const at::Tensor flat = at::zeros({numbers}, memory::on_host(at::kFloat));
  std::int64_t place = 0;
  for (const std::size_t i : own.parameters) {
    const std::int64_t count = leaves_.tensors[i].numel();
    if (waiting_[i].defined()) flat.narrow(0, place, count).copy_(waiting_[i].flatten());
    waiting_[i].reset();
    place += count;
  }
  const std::int64_t mine = own.lengths[static_cast<std::size_t>(share_.group->rank())];
  under_way_.push_back(
      {bucket, share_.group->start_swap(flat, own.lengths, std::vector<std::int64_t>(own.lengths.size(), mine))});
}

void StreamedGradients::finish_first() {
  const Way way = std::move(under_way_.front());
  under_way_.pop_front();
  const Bucket& bucket = buckets_[way.bucket];
  distributed::Group& group = *share_.group;
  const at::Tensor all = group.finish(way.swap, cancelled_);
  const at::Tensor sum = distributed::sum_of_shards(all.view({group.size(), all.numel() / group.size()}).unbind());
  const auto give = [&](const at::Tensor& flat, const auto& is_given) {
    std::int64_t place = 0;
    for (const std::size_t i : bucket.parameters) {
      if (!is_given(i)) continue;
      const at::Tensor& leaf = leaves_.tensors[i];
      sums_[i] = flat.narrow(0, place, leaf.numel()).view(leaf.sizes()).to(leaves_.dtypes[i]);
      place += leaf.numel();
    }
  };
  if (share_.ownership != nullptr) {
    // Not the memory of all ranks' parts.
    give(sum.clone(), [&](std::size_t i) { return share_.ownership->is_own(i); });
    return;
  }
  const at::Tensor whole = way.swap.own;
  std::vector<distributed::FlatTensors> sections;
  std::int64_t place = 0;
  for (const std::int64_t length : bucket.lengths) {
    sections.emplace_back(std::vector{whole.narrow(0, place, length)});
    place += length;
  }
  gather_sections(group, distributed::FlatTensors({sum}), sections, at::kFloat, cancelled_);
  give(whole, [](std::size_t) { return true; });
}

GradientSum StreamedGradients::total() {
  const at::NoGradGuard no_grad;
  while (next_ < buckets_.size()) send(next_++);
  while (!under_way_.empty()) finish_first();
  const at::Tensor reached = share_.group->gather(at::tensor(reached_, memory::on_host(at::kByte)), cancelled_).amax(0);
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    if (reached[static_cast<std::int64_t>(i)].item<std::uint8_t>() == 0) {
      sums_[i].reset();
    } else if (!sums_[i].defined()) {
      sums_[i] = at::empty_like(leaves_.tensors[i], at::TensorOptions().dtype(leaves_.dtypes[i]).device(at::kMeta));
    }
  }
  GradientSum result(leaves_);
  result.add_values(sums_);
  return result;
}

}  // namespace ehrjepa::train
