#include "ops/linear/linear.h"

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/linear/products.h"
#include "ops/references.h"

namespace ehrjepa::ops {
namespace {

class Linear : public torch::autograd::Function<Linear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x_TI,
                            const at::Tensor& weight_OI, const std::optional<at::Tensor>& bias_O) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({x_TI, weight_OI});
    context->saved_data["bias"] = bias_O.has_value();
    return linear_product(x_TI, weight_OI, bias_O);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor grad_TO = grad_outputs[0].contiguous();
    torch::autograd::variable_list result(3);
    if (context->needs_input_grad(0)) result[0] = linear_input_gradient(grad_TO, saved[1]);
    if (context->needs_input_grad(1)) result[1] = linear_weight_gradient(grad_TO, saved[0]);
    // An absent bias has no edge that could be asked for.
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) result[2] = grad_TO.sum(0);
    return result;
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x_TI, const at::Tensor& weight_OI, const std::optional<at::Tensor>& bias_O) {
  // Elsewhere products are as they are, and libtorch's own gradient does as well.
  const bool own_products = x_TI.scalar_type() == at::kBFloat16 && x_TI.device().is_cpu();
  if (references_in_use() || !own_products) return linear_reference(x_TI, weight_OI, bias_O);
  TORCH_CHECK_VALUE(x_TI.dim() == 2 && weight_OI.dim() == 2 && x_TI.size(1) == weight_OI.size(1),
                    "[linear] x must be (tokens, inputs) and weight (outputs, inputs) but have shapes ", x_TI.sizes(),
                    " and ", weight_OI.sizes());
  TORCH_CHECK_VALUE(weight_OI.scalar_type() == x_TI.scalar_type() && weight_OI.device() == x_TI.device(),
                    "[linear] weight must have the dtype and the device of x (", x_TI.scalar_type(), ", ",
                    x_TI.device(), ") but has ", weight_OI.scalar_type(), ", ", weight_OI.device());
  return Linear::apply(x_TI.contiguous(), weight_OI, bias_O);
}

}  // namespace ehrjepa::ops
