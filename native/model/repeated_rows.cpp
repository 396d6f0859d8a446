#include "model/repeated_rows.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

namespace ehrjepa::model {
namespace {

class RepeatedRows : public torch::autograd::Function<RepeatedRows> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& rows) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({rows});
    context->saved_data["sizes"] = x.sizes();
    return x.index_select(0, rows);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const at::Tensor rows = context->get_saved_variables()[0], grad_out = grad_outputs[0];
    at::Tensor grad = at::zeros(context->saved_data["sizes"].toIntVector(), grad_out.options());
    // Each is in order where the other is not: `index_add_` on the CPU, and on CUDA `index_put_`, which sorts the rows.
    if (grad.is_cpu()) {
      grad.index_add_(0, rows, grad_out);
    } else {
      grad.index_put_({rows}, grad_out, /*accumulate=*/true);
    }
    return {grad, at::Tensor()};
  }
};

}  // namespace

at::Tensor repeated_rows(const at::Tensor& x, const at::Tensor& rows) { return RepeatedRows::apply(x, rows); }

}  // namespace ehrjepa::model
