#include "train/streamed_gradients.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <utility>

#include "distributed/ownership.h"
#include "distributed/sections.h"
#include "distributed/shard_sum.h"
#include "memory/transfer.h"

namespace ehrjepa::train {
namespace {

// One bucket is on its way while the next is filled.
constexpr std::size_t kUnderWay = 1;

}  // namespace

StreamedGradients::StreamedGradients(const std::vector<at::Tensor>& parameters, const UpdateShare& share,
                                     const std::atomic<bool>& cancelled)
    : parameters_(parameters),
      share_(share),
      cancelled_(cancelled),
      bucket_of_(parameters.size()),
      waiting_(parameters.size()),
      sums_(parameters.size()),
      reached_(parameters.size()) {
  std::int64_t numbers = distributed::kBucket;
  for (std::size_t i = parameters.size(); i-- > 0;) {
    if (numbers >= distributed::kBucket) {
      buckets_.emplace_back();
      numbers = 0;
    }
    numbers += parameters[i].numel();
    buckets_.back().parameters.push_back(i);
    bucket_of_[i] = buckets_.size() - 1;
  }
  const std::int64_t ranks = share.group->size();
  for (Bucket& bucket : buckets_) {
    bucket.missing = bucket.parameters.size();
    bucket.lengths.assign(static_cast<std::size_t>(ranks), 0);
    if (share.ownership != nullptr) {
      // One rank's behind another's.
      std::ranges::stable_sort(bucket.parameters, {}, [&](std::size_t i) { return share.ownership->owner(i); });
      for (const std::size_t i : bucket.parameters) {
        bucket.lengths[static_cast<std::size_t>(share.ownership->owner(i))] += parameters[i].numel();
      }
      continue;
    }
    std::int64_t all = 0;
    for (const std::size_t i : bucket.parameters) all += parameters[i].numel();
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      bucket.lengths[static_cast<std::size_t>(rank)] = (rank + 1) * all / ranks - rank * all / ranks;
    }
  }
}

void StreamedGradients::backward(const at::Tensor& loss) {
  require_trained(loss);
  const GradientHooks hooks(
      parameters_, [this](std::size_t parameter, const at::Tensor& gradient) { receive(parameter, gradient); });
  torch::autograd::backward({loss});
}

void StreamedGradients::receive(std::size_t parameter, const at::Tensor& gradient) {
  waiting_[parameter] = gradient;
  reached_[parameter] = 1;
  --buckets_[bucket_of_[parameter]].missing;
  // In one order on all ranks, whatever each computes.
  while (next_ < buckets_.size() && buckets_[next_].missing == 0) send(next_++);
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
    const std::int64_t count = parameters_[i].numel();
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
      const at::Tensor& parameter = parameters_[i];
      sums_[i] = flat.narrow(0, place, parameter.numel()).view(parameter.sizes()).to(parameter.scalar_type());
      place += parameter.numel();
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
      sums_[i] = at::empty_like(parameters_[i], at::TensorOptions().device(at::kMeta));
    }
  }
  GradientSum result(parameters_);
  result.add_values(sums_);
  return result;
}

}  // namespace ehrjepa::train
