#include "ops/rms_norm/rms_norm.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/kernels_of.h"

namespace ehrjepa::ops {

TORCH_LIBRARY_FRAGMENT(ehrjepa, m) {
  m.def("rms_norm_forward(Tensor x, Tensor weight, float eps) -> (Tensor y, Tensor rstd)");
  m.def(
      "rms_norm_backward(Tensor grad_out, Tensor x, Tensor weight, Tensor rstd) -> (Tensor grad_x, Tensor "
      "grad_weight)");
  m.def(
      "add_rms_norm_forward(Tensor x, Tensor delta, Tensor weight, float eps) -> (Tensor sum, Tensor y, Tensor rstd)");
  m.def(
      "add_rms_norm_backward(Tensor grad_out, Tensor grad_sum, Tensor sum, Tensor weight, Tensor rstd) -> (Tensor "
      "grad_x, Tensor grad_weight)");
}

std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, double eps) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("ehrjepa::rms_norm_forward", "")
                             .typed<decltype(rms_norm_forward)>();
  return op.call(x, weight, eps);
}

std::tuple<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor& grad_out, const at::Tensor& x,
                                                     const at::Tensor& weight, const at::Tensor& rstd) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("ehrjepa::rms_norm_backward", "")
                             .typed<decltype(rms_norm_backward)>();
  return op.call(grad_out, x, weight, rstd);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> add_rms_norm_forward(const at::Tensor& x, const at::Tensor& delta,
                                                                    const at::Tensor& weight, double eps) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("ehrjepa::add_rms_norm_forward", "")
                             .typed<decltype(add_rms_norm_forward)>();
  return op.call(x, delta, weight, eps);
}

std::tuple<at::Tensor, at::Tensor> add_rms_norm_backward(const at::Tensor& grad_out, const at::Tensor& grad_sum,
                                                         const at::Tensor& sum, const at::Tensor& weight,
                                                         const at::Tensor& rstd) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("ehrjepa::add_rms_norm_backward", "")
                             .typed<decltype(add_rms_norm_backward)>();
  return op.call(grad_out, grad_sum, sum, weight, rstd);
}

namespace {

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x_TD, const at::Tensor& weight,
                            double eps) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const auto [y_TD, rstd_T] = rms_norm_forward(x_TD, weight, eps);
    context->save_for_backward({x_TD, weight, rstd_T});
    return y_TD;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const auto [grad_x, grad_weight] = rms_norm_backward(grad_outputs[0].contiguous(), saved[0], saved[1], saved[2]);
    return {grad_x, grad_weight, at::Tensor()};
  }
};

class AddRmsNorm : public torch::autograd::Function<AddRmsNorm> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& x_TD,
                                                const at::Tensor& delta_TD, const at::Tensor& weight, double eps) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const auto [sum_TD, y_TD, rstd_T] = add_rms_norm_forward(x_TD, delta_TD, weight, eps);
    context->save_for_backward({sum_TD, weight, rstd_T});
    return {sum_TD, y_TD};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const auto [grad_x, grad_weight] =
        add_rms_norm_backward(grad_outputs[1].contiguous(), grad_outputs[0].contiguous(), saved[0], saved[1], saved[2]);
    return {grad_x, grad_x, grad_weight, at::Tensor()};
  }
};

void check(const at::Tensor& x, const at::Tensor& weight, double eps) {
  TORCH_CHECK_VALUE(x.dim() >= 1 && x.size(-1) >= 1, "[rms_norm] x must have at least one feature but has shape ",
                    x.sizes());
  TORCH_CHECK_VALUE(weight.dim() == 1 && weight.size(0) == x.size(-1),
                    "[rms_norm] weight must have the size of the last dimension of x (", x.size(-1), ") but has shape ",
                    weight.sizes());
  TORCH_CHECK_VALUE(weight.scalar_type() == x.scalar_type(), "[rms_norm] weight must have the dtype of x (",
                    x.scalar_type(), ") but has ", weight.scalar_type());
  TORCH_CHECK_VALUE(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kDouble,
                    "[rms_norm] x must be float32, bfloat16 or float64 but is ", x.scalar_type());
  TORCH_CHECK_VALUE(weight.device() == x.device(), "[rms_norm] weight must be on the device of x (", x.device(),
                    ") but is on ", weight.device());
  TORCH_CHECK_VALUE(eps >= 0.0, "[rms_norm] eps must not be negative but is ", eps);
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  check(x, weight, eps);
  static const c10::OperatorHandle function = function_named("ehrjepa::rms_norm_forward");
  if (by_reference(function, x)) return rms_norm_reference(x, weight, eps);
  const at::Tensor x_TD = x.reshape({-1, x.size(-1)}).contiguous();
  return RmsNorm::apply(x_TD, weight.contiguous(), eps).view(x.sizes());
}

std::tuple<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                                                double eps) {
  check(x, weight, eps);
  TORCH_CHECK_VALUE(
      delta.sizes() == x.sizes() && delta.scalar_type() == x.scalar_type() && delta.device() == x.device(),
      "[rms_norm] delta must have shape, dtype and device of x (", x.sizes(), ", ", x.scalar_type(), ", ", x.device(),
      ") but has ", delta.sizes(), ", ", delta.scalar_type(), ", ", delta.device());
  static const c10::OperatorHandle function = function_named("ehrjepa::add_rms_norm_forward");
  if (by_reference(function, x)) return add_rms_norm_reference(x, delta, weight, eps);
  const auto rows = [](const at::Tensor& tensor) { return tensor.reshape({-1, tensor.size(-1)}).contiguous(); };
  const torch::autograd::variable_list results = AddRmsNorm::apply(rows(x), rows(delta), weight.contiguous(), eps);
  return {results[0].view(x.sizes()), results[1].view(x.sizes())};
}

}  // namespace ehrjepa::ops
