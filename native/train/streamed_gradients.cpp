#include "train/streamed_gradients.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "distributed/shard_sum.h"
#include "memory/transfer.h"

namespace ehrjepa::train {
namespace {

// One bucket is on its way while the next is filled.
constexpr std::size_t kUnderWay = 1;

}  // namespace

StreamedGradients::StreamedGradients(const Leaves& leaves, const UpdateShare& share, const Units& units,
                                     Consume consume, const std::atomic<bool>& cancelled)
    : leaves_(leaves),
      share_(share),
      consume_(std::move(consume)),
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
  if (share_.ownership != nullptr) {
    // One rank's behind another's.
    std::ranges::stable_sort(bucket.parameters, {}, [&](std::size_t i) { return share_.ownership->owner(i); });
  }
  std::int64_t all = 0;
  std::vector<std::int64_t> lengths;
  bucket.lengths.assign(static_cast<std::size_t>(ranks), 0);
  for (const std::size_t i : bucket.parameters) {
    lengths.push_back(leaves_.tensors[i].numel());
    all += lengths.back();
    if (share_.ownership == nullptr) continue;
    bucket.lengths[static_cast<std::size_t>(share_.ownership->owner(i))] += lengths.back();
  }
  std::int64_t start = 0;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    std::int64_t& length = bucket.lengths[static_cast<std::size_t>(rank)];
    if (share_.ownership == nullptr) length = (rank + 1) * all / ranks - rank * all / ranks;
    bucket.starts.push_back(start);
    start += length;
  }
  if (share_.rounding)
    bucket.rounding.emplace(share_.rounding->seed, share_.rounding->step, bucket.parameters, lengths);
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
  const at::NoGradGuard no_grad;
  const Bucket& own = buckets_[bucket];
  std::vector<at::Tensor> values;
  for (const std::size_t i : own.parameters) {
    const at::Tensor& leaf = leaves_.tensors[i];
    // Zeros where no loss came, as in `UpdateGradients`.
    values.push_back(
        waiting_[i].defined()
            ? waiting_[i].contiguous()
            : at::zeros({1}, at::TensorOptions(leaf.device()).dtype(leaves_.dtypes[i])).expand({leaf.numel()}));
    if (keeps(i)) sums_[i] = at::empty(leaf.sizes(), at::TensorOptions(leaf.device()).dtype(leaves_.dtypes[i]));
    waiting_[i].reset();
  }
  const distributed::FlatTensors flat(values);
  const std::int64_t longest = *std::ranges::max_element(own.lengths);
  const std::int64_t piece = std::max<std::int64_t>(1, distributed::kBucket / share_.group->size());
  for (std::int64_t begin = 0; begin < longest; begin += piece) send_piece(bucket, flat, begin, piece);
}

void StreamedGradients::send_piece(std::size_t bucket, const distributed::FlatTensors& values, std::int64_t begin,
                                   std::int64_t piece) {
  while (under_way_.size() > kUnderWay) finish_first();
  const Bucket& own = buckets_[bucket];
  std::vector<std::int64_t> counts;
  std::int64_t numbers = 0;
  bool is_last = true;
  for (const std::int64_t length : own.lengths) {
    counts.push_back(std::clamp<std::int64_t>(length - begin, 0, piece));
    numbers += counts.back();
    is_last = is_last && length <= begin + piece;
  }
  const at::Tensor sent = at::empty({numbers}, at::TensorOptions(values.device()).dtype(at::kFloat));
  std::int64_t place = 0;
  for (std::size_t rank = 0; rank < counts.size(); ++rank) {
    const at::Tensor part = sent.narrow(0, place, counts[rank]);
    values.read(own.starts[rank] + begin, part);
    // One shard a rank.
    if (own.rounding) own.rounding->round_(part, own.starts[rank] + begin, share_.group->rank());
    place += counts[rank];
  }
  const std::int64_t mine = counts[static_cast<std::size_t>(share_.group->rank())];
  distributed::Group::Swap swap =
      share_.group->start_swap(sent.to(travel()), counts, std::vector<std::int64_t>(counts.size(), mine));
  under_way_.push_back({bucket, begin, std::move(counts), is_last, std::move(swap)});
}

void StreamedGradients::finish_first() {
  const at::NoGradGuard no_grad;
  const Way way = std::move(under_way_.front());
  under_way_.pop_front();
  const Bucket& bucket = buckets_[way.bucket];
  distributed::Group& group = *share_.group;
  const auto rank = static_cast<std::size_t>(group.rank());
  const std::int64_t place = bucket.starts[rank] + way.begin;
  const at::Tensor all = group.finish(way.swap, cancelled_).to(at::kFloat);
  const at::Tensor sum = distributed::sum_of_shards(all.view({group.size(), way.counts[rank]}).unbind());
  if (bucket.rounding) bucket.rounding->round_(sum, place, distributed::FlatRounding::kAll);
  const distributed::FlatTensors sums(kept_sums(bucket));
  if (share_.ownership != nullptr) {
    sums.write(way.begin, sum);
  } else {
    std::vector<at::Tensor> pieces;
    std::vector<distributed::FlatTensors> sections;
    for (const std::int64_t count : way.counts) {
      pieces.push_back(at::empty({count}, sum.options()));
      sections.emplace_back(std::vector{pieces.back()});
    }
    gather_sections(group, distributed::FlatTensors({sum}), sections, travel(), cancelled_);
    for (std::size_t i = 0; i < pieces.size(); ++i) sums.write(bucket.starts[i] + way.begin, pieces[i]);
  }
  if (way.is_last && consume_) hand_over(bucket);
}

std::vector<at::Tensor> StreamedGradients::kept_sums(const Bucket& bucket) const {
  std::vector<at::Tensor> result;
  for (const std::size_t i : bucket.parameters) {
    if (keeps(i)) result.push_back(sums_[i]);
  }
  return result;
}

std::vector<bool> StreamedGradients::reached(const std::vector<std::size_t>& parameters) const {
  std::vector<std::uint8_t> own;
  for (const std::size_t i : parameters) own.push_back(reached_[i]);
  const at::Tensor any = share_.group->gather(at::tensor(own, memory::on_host(at::kByte)), cancelled_).amax(0);
  const auto* const flags = any.const_data_ptr<std::uint8_t>();
  return std::vector<bool>(flags, flags + any.numel());
}

void StreamedGradients::hand_over(const Bucket& bucket) {
  const std::vector<bool> is_reached = reached(bucket.parameters);
  for (std::size_t i = 0; i < bucket.parameters.size(); ++i) {
    const std::size_t parameter = bucket.parameters[i];
    consume_(parameter, sum_of(parameter, is_reached[i]));
    sums_[parameter].reset();
  }
}

at::Tensor StreamedGradients::sum_of(std::size_t parameter, bool is_reached) const {
  if (!is_reached) return {};
  if (keeps(parameter)) return sums_[parameter];
  return at::empty_like(leaves_.tensors[parameter],
                        at::TensorOptions().dtype(leaves_.dtypes[parameter]).device(at::kMeta));
}

GradientSum StreamedGradients::total() {
  const at::NoGradGuard no_grad;
  while (next_ < buckets_.size()) send(next_++);
  while (!under_way_.empty()) finish_first();
  GradientSum result(leaves_);
  if (consume_) return result;
  std::vector<std::size_t> all(sums_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  const std::vector<bool> is_reached = reached(all);
  for (const std::size_t i : all) sums_[i] = sum_of(i, is_reached[i]);
  result.add_values(sums_);
  return result;
}

}  // namespace ehrjepa::train
