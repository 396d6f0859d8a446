#include "train/loss_numbers.h"

#include <cmath>
#include <optional>
#include <string>

#include "core/error.h"
#include "memory/transfer.h"
#include "objective/collapse/monitors.h"

namespace ehrjepa::train {
namespace {

void require_finite(const char* name, double value) {
  if (std::isfinite(value)) return;
  throw Error(std::string("[step] ") + name + " must be finite but is " + std::to_string(value) +
              "; the update was not made. Lower the learning rate or check the batch");
}

}  // namespace

StepResult read(const LossNumbers& numbers, const at::Tensor& gradient_norm) {
  std::vector<at::Tensor> values = {numbers.loss,        numbers.next_token,   numbers.latent,
                                    numbers.regulariser, numbers.interference, gradient_norm};
  const auto scalars = static_cast<std::ptrdiff_t>(values.size());
  values.insert(values.end(), numbers.collapse.begin(), numbers.collapse.end());
  const std::vector<at::Tensor> host = memory::read_back(values);
  const auto number = [&](std::size_t index) {
    return host[index].defined() ? std::optional(host[index].item<double>()) : std::nullopt;
  };
  StepResult result;
  result.loss = number(0).value_or(0.0);
  require_finite("loss", result.loss);
  result.gradient_norm = number(5).value_or(0.0);
  require_finite("gradient norm", result.gradient_norm);
  result.next_token_loss = number(1);
  result.latent_loss = number(2);
  result.regulariser = number(3);
  result.interference = number(4);
  result.scored_tokens = numbers.scored_tokens;
  if (!numbers.collapse.empty()) result.collapse = objective::collapse_numbers({host.begin() + scalars, host.end()});
  return result;
}

}  // namespace ehrjepa::train
