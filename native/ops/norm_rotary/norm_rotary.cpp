#include "ops/norm_rotary/norm_rotary.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/kernels_of.h"
#include "ops/norm_rotary/kernel.h"

namespace ehrjepa::ops {

TORCH_LIBRARY_FRAGMENT(ehrjepa, m) {
  m.def("norm_rotary_forward(Tensor x, Tensor weight, Tensor cos, Tensor sin, float eps) -> (Tensor y, Tensor rstd)");
  m.def(
      "norm_rotary_backward(Tensor grad_out, Tensor x, Tensor weight, Tensor cos, Tensor sin, Tensor rstd) -> (Tensor "
      "grad_x, Tensor grad_weight)");
}

std::tuple<at::Tensor, at::Tensor> norm_rotary_forward(const at::Tensor& x, const at::Tensor& weight,
                                                       const at::Tensor& cos, const at::Tensor& sin, double eps) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("ehrjepa::norm_rotary_forward", "")
                             .typed<decltype(norm_rotary_forward)>();
  return op.call(x, weight, cos, sin, eps);
}

std::tuple<at::Tensor, at::Tensor> norm_rotary_backward(const at::Tensor& grad_out, const at::Tensor& x,
                                                        const at::Tensor& weight, const at::Tensor& cos,
                                                        const at::Tensor& sin, const at::Tensor& rstd) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("ehrjepa::norm_rotary_backward", "")
                             .typed<decltype(norm_rotary_backward)>();
  return op.call(grad_out, x, weight, cos, sin, rstd);
}

namespace {

class NormRotary : public torch::autograd::Function<NormRotary> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x_TNH,
                            const at::Tensor& weight_H, const at::Tensor& cos_TH, const at::Tensor& sin_TH,
                            double eps) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const auto [y_TNH, rstd_TN] = norm_rotary_forward(x_TNH, weight_H, cos_TH, sin_TH, eps);
    context->save_for_backward({x_TNH, weight_H, cos_TH, sin_TH, rstd_TN});
    return y_TNH;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const auto [grad_x, grad_weight] =
        norm_rotary_backward(grad_outputs[0].contiguous(), saved[0], saved[1], saved[2], saved[3], saved[4]);
    return {grad_x, grad_weight, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor norm_rotary(const at::Tensor& x, const at::Tensor& weight, const RotaryTables& tables, double eps) {
  TORCH_CHECK_VALUE(x.dim() == 3 && x.size(2) >= 2 && x.size(2) % 2 == 0,
                    "[norm_rotary] x must be (tokens, heads, head_dim) with an even head_dim but has shape ",
                    x.sizes());
  TORCH_CHECK_VALUE(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kDouble,
                    "[norm_rotary] x must be float32, bfloat16 or float64 but is ", x.scalar_type());
  TORCH_CHECK_VALUE(weight.dim() == 1 && weight.size(0) == x.size(2),
                    "[norm_rotary] weight must have head_dim elements (", x.size(2), ") but has shape ",
                    weight.sizes());
  for (const at::Tensor* table : {&tables.cos, &tables.sin}) {
    TORCH_CHECK_VALUE(
        table->dim() == 3 && table->size(0) == x.size(0) && table->size(1) == 1 && table->size(2) == x.size(2),
        "[norm_rotary] the tables must have shape (", x.size(0), ", 1, ", x.size(2), ") but one has ", table->sizes());
  }
  for (const at::Tensor* other : {&weight, &tables.cos, &tables.sin}) {
    TORCH_CHECK_VALUE(other->scalar_type() == x.scalar_type() && other->device() == x.device(),
                      "[norm_rotary] weight and tables must have the dtype and the device of x (", x.scalar_type(),
                      ", ", x.device(), ") but one has ", other->scalar_type(), ", ", other->device());
  }
  TORCH_CHECK_VALUE(eps >= 0.0, "[norm_rotary] eps must not be negative but is ", eps);
  static const c10::OperatorHandle function = function_named("ehrjepa::norm_rotary_forward");
  const bool too_large = !x.is_cpu() && x.size(2) > kernels::norm_rotary_largest_head;
  if (too_large || by_reference(function, x)) return norm_rotary_reference(x, weight, tables, eps);
  return NormRotary::apply(x.contiguous(), weight.contiguous(), tables.cos.squeeze(1).contiguous(),
                           tables.sin.squeeze(1).contiguous(), eps);
}

}  // namespace ehrjepa::ops
