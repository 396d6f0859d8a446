#include "train/update_gradients.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "memory/transfer.h"

namespace ehrjepa::train {

void UpdateGradients::end_shard() {
  if (share_.is_whole()) return;
  const at::NoGradGuard no_grad;
  std::int64_t numbers = 0;
  for (const at::Tensor& parameter : parameters_) numbers += parameter.numel();
  // Zeros where no loss came: adding nothing and adding zero are not the same bits, so it is always the latter.
  at::Tensor flat = at::zeros({numbers}, parameters_[0].options().dtype(at::kFloat).requires_grad(false));
  std::int64_t place = 0;
  const std::vector<at::Tensor> values = shard_.take();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t count = parameters_[i].numel();
    if (values[i].defined()) {
      flat.narrow(0, place, count).copy_(values[i].flatten());
      reached_[i] = 1;
    }
    place += count;
  }
  sum_.add(std::move(flat));
}

GradientSum UpdateGradients::total(const std::atomic<bool>& cancelled) {
  if (share_.is_whole()) return std::move(shard_);
  const at::NoGradGuard no_grad;
  at::Tensor reached = at::tensor(reached_, memory::on_host(at::kByte));
  if (share_.group != nullptr) reached = share_.group->gather(reached, cancelled).amax(0);
  const at::Tensor flat = sum_.total(share_.group, cancelled);
  GradientSum result(parameters_);
  std::vector<at::Tensor> values;
  std::int64_t place = 0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& parameter = parameters_[i];
    const at::Tensor part = flat.narrow(0, place, parameter.numel());
    place += parameter.numel();
    values.push_back(reached[static_cast<std::int64_t>(i)].item<std::uint8_t>() == 0
                         ? at::Tensor()
                         : part.view(parameter.sizes()).to(parameter.scalar_type()));
  }
  result.add_values(values);
  return result;
}

}  // namespace ehrjepa::train
