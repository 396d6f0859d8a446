#include "ops/linear_cross_entropy/linear_cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ceil_div.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/nll_loss.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/references.h"

namespace ehrjepa::ops {

TORCH_LIBRARY_FRAGMENT(ehrjepa, m) {
  m.def(
      "linear_cross_entropy_forward(Tensor hidden, Tensor weight, Tensor labels, bool hidden_grad, bool weight_grad) "
      "-> (Tensor log_probabilities, Tensor grad_hidden, Tensor grad_weight)");
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> linear_cross_entropy_forward(const at::Tensor& hidden,
                                                                            const at::Tensor& weight,
                                                                            const at::Tensor& labels, bool hidden_grad,
                                                                            bool weight_grad) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("ehrjepa::linear_cross_entropy_forward", "")
                             .typed<decltype(linear_cross_entropy_forward)>();
  return op.call(hidden, weight, labels, hidden_grad, weight_grad);
}

std::int64_t linear_cross_entropy_rows(std::int64_t rows, std::int64_t vocab_size) {
  const std::int64_t most = std::max<std::int64_t>(1, (std::int64_t{64} << 20) / vocab_size);
  const std::int64_t pieces = std::max<std::int64_t>(1, at::ceil_div(rows, most));
  return std::max<std::int64_t>(1, at::ceil_div(rows, pieces));
}

namespace {

void check(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels) {
  TORCH_CHECK_VALUE(hidden.dim() == 2 && weight.dim() == 2 && hidden.size(1) == weight.size(1) && weight.size(0) >= 1,
                    "[linear_cross_entropy] hidden must be (rows, features) and weight (vocabulary, features) but have "
                    "shapes ",
                    hidden.sizes(), " and ", weight.sizes());
  TORCH_CHECK_VALUE(hidden.scalar_type() == at::kFloat || hidden.scalar_type() == at::kBFloat16 ||
                        hidden.scalar_type() == at::kDouble,
                    "[linear_cross_entropy] hidden must be float32, bfloat16 or float64 but is ", hidden.scalar_type());
  TORCH_CHECK_VALUE(weight.scalar_type() == hidden.scalar_type(),
                    "[linear_cross_entropy] weight must have the dtype of hidden (", hidden.scalar_type(), ") but has ",
                    weight.scalar_type());
  TORCH_CHECK_VALUE(labels.dim() == 1 && labels.size(0) == hidden.size(0) && labels.scalar_type() == at::kLong,
                    "[linear_cross_entropy] labels must be int64, one per row of hidden (", hidden.size(0),
                    "), but are ", labels.scalar_type(), " of shape ", labels.sizes());
  TORCH_CHECK_VALUE(weight.device() == hidden.device() && labels.device() == hidden.device(),
                    "[linear_cross_entropy] weight and labels must be on the device of hidden (", hidden.device(),
                    ") but are on ", weight.device(), " and ", labels.device());
}

class LinearCrossEntropy : public torch::autograd::Function<LinearCrossEntropy> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden_RD,
                            const at::Tensor& weight_VD, const at::Tensor& labels_R, bool with_gradients) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const auto [log_probabilities_R, grad_hidden_RD, grad_weight_VD] =
        linear_cross_entropy_forward(hidden_RD, weight_VD, labels_R, with_gradients && hidden_RD.requires_grad(),
                                     with_gradients && weight_VD.requires_grad());
    context->save_for_backward({grad_hidden_RD, grad_weight_VD});
    // The mean of -x, summed in the order of libtorch's own loss.
    return at::nll_loss(log_probabilities_R.unsqueeze(1), at::zeros_like(labels_R));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const auto scaled = [&](const at::Tensor& gradient) {
      return gradient.defined() ? gradient * grad_outputs[0].to(gradient.scalar_type()) : gradient;
    };
    return {scaled(saved[0]), scaled(saved[1]), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels) {
  check(hidden, weight, labels);
  TORCH_CHECK_VALUE(hidden.size(0) >= 1, "[linear_cross_entropy] hidden must have at least one row but has 0");
  if (references_in_use()) return linear_cross_entropy_reference(hidden, weight, labels);
  return LinearCrossEntropy::apply(hidden.contiguous(), weight.contiguous(), labels.contiguous(),
                                   at::GradMode::is_enabled());
}

at::Tensor label_log_probabilities(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels) {
  check(hidden, weight, labels);
  const at::AutoDispatchBelowADInplaceOrView guard;
  return std::get<0>(
      linear_cross_entropy_forward(hidden.contiguous(), weight.contiguous(), labels.contiguous(), false, false));
}

}  // namespace ehrjepa::ops
