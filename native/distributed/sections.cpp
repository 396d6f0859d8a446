#include "distributed/sections.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstddef>

#include "memory/transfer.h"

namespace ehrjepa::distributed {

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
  for (std::int64_t begin = 0; begin < longest; begin += piece) {
    const std::int64_t length = std::min(piece, longest - begin);
    const auto count_of = [&](const FlatTensors& section) {
      return std::clamp<std::int64_t>(section.numel() - begin, 0, length);
    };
    const at::Tensor sent = at::zeros({length}, memory::on_host(dtype));
    own.read(begin, sent.narrow(0, 0, count_of(own)));
    const at::Tensor all = group.gather(sent, cancelled);
    for (std::int64_t rank = 0; rank < group.size(); ++rank) {
      const FlatTensors& section = sections[static_cast<std::size_t>(rank)];
      section.write(begin, all[rank].narrow(0, 0, count_of(section)));
    }
  }
}

}  // namespace ehrjepa::distributed
