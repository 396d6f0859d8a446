#include "ops/swiglu/swiglu.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/kernels_of.h"

namespace ehrjepa::ops {

TORCH_LIBRARY_FRAGMENT(ehrjepa, m) {
  m.def("swiglu_forward(Tensor gate, Tensor up) -> Tensor");
  m.def("swiglu_backward(Tensor grad_out, Tensor gate, Tensor up) -> (Tensor grad_gate, Tensor grad_up)");
}

at::Tensor swiglu_forward(const at::Tensor& gate, const at::Tensor& up) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("ehrjepa::swiglu_forward", "").typed<decltype(swiglu_forward)>();
  return op.call(gate, up);
}

std::tuple<at::Tensor, at::Tensor> swiglu_backward(const at::Tensor& grad_out, const at::Tensor& gate,
                                                   const at::Tensor& up) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("ehrjepa::swiglu_backward", "").typed<decltype(swiglu_backward)>();
  return op.call(grad_out, gate, up);
}

namespace {

class Swiglu : public torch::autograd::Function<Swiglu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({gate, up});
    return swiglu_forward(gate, up);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const auto [grad_gate, grad_up] = swiglu_backward(grad_outputs[0].contiguous(), saved[0], saved[1]);
    return {grad_gate, grad_up};
  }
};

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  TORCH_CHECK_VALUE(gate.sizes() == up.sizes(), "[swiglu] up must have the shape of gate (", gate.sizes(), ") but has ",
                    up.sizes());
  TORCH_CHECK_VALUE(
      gate.scalar_type() == at::kFloat || gate.scalar_type() == at::kBFloat16 || gate.scalar_type() == at::kDouble,
      "[swiglu] gate must be float32, bfloat16 or float64 but is ", gate.scalar_type());
  TORCH_CHECK_VALUE(gate.scalar_type() == up.scalar_type() && gate.device() == up.device(),
                    "[swiglu] up must have the dtype and the device of gate (", gate.scalar_type(), ", ", gate.device(),
                    ") but has ", up.scalar_type(), ", ", up.device());
  static const c10::OperatorHandle function = function_named("ehrjepa::swiglu_forward");
  if (by_reference(function, gate)) return swiglu_reference(gate, up);
  return Swiglu::apply(gate.contiguous(), up.contiguous());
}

}  // namespace ehrjepa::ops
