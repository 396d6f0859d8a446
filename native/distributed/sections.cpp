#include "distributed/sections.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstddef>

namespace ehrjepa::distributed {

namespace {

/// A piece of the section of each rank, all of one length.
std::vector<at::Tensor> gathered(Group& group, const FlatTensors& own, std::int64_t begin, std::int64_t count,
                                 const at::TensorOptions& options, const std::atomic<bool>& cancelled) {
  const at::Tensor sent = at::empty({count}, options);
  own.read(begin, sent);
  return group.gather(sent, cancelled).unbind();
}

/// The same of any lengths: each from the rank that has it, all at once.
std::vector<at::Tensor> spread(Group& group, const FlatTensors& own, std::int64_t begin,
                               const std::vector<std::int64_t>& counts, const at::TensorOptions& options,
                               const std::atomic<bool>& cancelled) {
  std::vector<at::Tensor> result;
  std::vector<Group::Spread> under_way;
  for (std::size_t rank = 0; rank < counts.size(); ++rank) {
    result.push_back(at::empty({counts[rank]}, options));
    if (counts[rank] == 0) continue;
    if (static_cast<std::int64_t>(rank) == group.rank()) own.read(begin, result.back());
    under_way.push_back(group.start_spread(result.back(), static_cast<std::int64_t>(rank)));
  }
  for (const Group::Spread& spread : under_way) group.finish(spread, cancelled);
  return result;
}

}  // namespace

FlatTensors::FlatTensors(const std::vector<at::Tensor>& tensors) {
  for (const at::Tensor& tensor : tensors) {
    tensors_.push_back(tensor.detach().view({-1}));
    numel_ += tensor.numel();
  }
}

template <typename Visit>
void FlatTensors::visit(std::int64_t begin, std::int64_t length, const Visit& visit) const {
  const std::int64_t end = begin + length;
  std::int64_t first = 0;
  for (const at::Tensor& tensor : tensors_) {
    const std::int64_t last = first + tensor.numel();
    const std::int64_t from = std::max(begin, first), to = std::min(end, last);
    if (from < to) visit(tensor.narrow(0, from - first, to - from), from - begin, to - from);
    first = last;
    if (first >= end) return;
  }
}

void FlatTensors::read(std::int64_t begin, const at::Tensor& to) const {
  const at::NoGradGuard no_grad;
  visit(begin, to.numel(),
        [&](const at::Tensor& piece, std::int64_t at, std::int64_t count) { to.narrow(0, at, count).copy_(piece); });
}

void FlatTensors::write(std::int64_t begin, const at::Tensor& from) const {
  const at::NoGradGuard no_grad;
  visit(begin, from.numel(),
        [&](const at::Tensor& piece, std::int64_t at, std::int64_t count) { piece.copy_(from.narrow(0, at, count)); });
}

void gather_sections(Group& group, const FlatTensors& own, const std::vector<FlatTensors>& sections,
                     at::ScalarType dtype, const std::atomic<bool>& cancelled) {
  std::int64_t longest = 0;
  for (const FlatTensors& section : sections) longest = std::max(longest, section.numel());
  const std::int64_t piece = std::max<std::int64_t>(1, kBucket / group.size());
  const auto holder = std::ranges::find_if(sections, [](const FlatTensors& section) { return section.numel() > 0; });
  if (holder == sections.end()) return;
  const auto options = at::TensorOptions(holder->device()).dtype(dtype);
  for (std::int64_t begin = 0; begin < longest; begin += piece) {
    std::vector<std::int64_t> counts;
    for (const FlatTensors& section : sections) {
      counts.push_back(std::clamp<std::int64_t>(section.numel() - begin, 0, std::min(piece, longest - begin)));
    }
    const bool equal = std::ranges::all_of(counts, [&](std::int64_t count) { return count == counts[0]; });
    const std::vector<at::Tensor> pieces = equal ? gathered(group, own, begin, counts[0], options, cancelled)
                                                 : spread(group, own, begin, counts, options, cancelled);
    for (std::size_t rank = 0; rank < sections.size(); ++rank) sections[rank].write(begin, pieces[rank]);
  }
}

}  // namespace ehrjepa::distributed
