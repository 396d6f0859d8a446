#include "ops/rotary/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace ehrjepa::ops {

TORCH_LIBRARY_FRAGMENT(ehrjepa, m) { m.def("rotary(Tensor x, Tensor cos, Tensor sin, bool backward) -> Tensor"); }

at::Tensor rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool backward) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("ehrjepa::rotary", "").typed<decltype(rotary)>();
  return op.call(x, cos, sin, backward);
}

RotaryTables rotary_tables(const at::Tensor& position_ids, std::int64_t head_dim, double theta, at::ScalarType dtype) {
  TORCH_CHECK_VALUE(head_dim % 2 == 0, "[rotary] head_dim must be even but is ", head_dim);
  const at::ScalarType angle_dtype = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const at::TensorOptions options = position_ids.options().dtype(angle_dtype);
  const at::Tensor exponents = at::arange(0, head_dim, 2, options) / static_cast<double>(head_dim);
  const at::Tensor inverse_frequencies = at::pow(theta, exponents).reciprocal();
  const at::Tensor angles_half = at::outer(position_ids.to(angle_dtype), inverse_frequencies);  // (T, H / 2)
  const at::Tensor angles = at::cat({angles_half, angles_half}, 1).unsqueeze(1);                // (T, 1, H)
  return {angles.cos().to(dtype), angles.sin().to(dtype)};
}

namespace {

class Rotary : public torch::autograd::Function<Rotary> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x_TNH,
                            const at::Tensor& cos_TH, const at::Tensor& sin_TH) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({cos_TH, sin_TH});
    return rotary(x_TNH, cos_TH, sin_TH, /*backward=*/false);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    return {rotary(grad_outputs[0].contiguous(), saved[0], saved[1], /*backward=*/true), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor apply_rotary(const at::Tensor& x, const RotaryTables& tables) {
  TORCH_CHECK_VALUE(x.dim() == 3 && x.size(2) % 2 == 0,
                    "[rotary] x must be (tokens, heads, head_dim) with an even head_dim but has shape ", x.sizes());
  for (const at::Tensor* table : {&tables.cos, &tables.sin}) {
    TORCH_CHECK_VALUE(
        table->dim() == 3 && table->size(0) == x.size(0) && table->size(1) == 1 && table->size(2) == x.size(2),
        "[rotary] the tables must have shape (", x.size(0), ", 1, ", x.size(2), ") but one has ", table->sizes());
    TORCH_CHECK_VALUE(table->scalar_type() == x.scalar_type() && table->device() == x.device(),
                      "[rotary] the tables must have the dtype and the device of x (", x.scalar_type(), ", ",
                      x.device(), ") but one has ", table->scalar_type(), ", ", table->device());
  }
  return Rotary::apply(x.contiguous(), tables.cos.squeeze(1).contiguous(), tables.sin.squeeze(1).contiguous());
}

}  // namespace ehrjepa::ops
