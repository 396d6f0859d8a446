#include "ops/adamw/adamw.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <optional>

namespace ehrjepa::ops {

TORCH_LIBRARY_FRAGMENT(ehrjepa, m) {
  m.def(
      "adamw_(Tensor(a!) parameter, Tensor(b!) exp_avg, Tensor(c!) exp_avg_sq, Tensor(d!)? target, Tensor? gradient, "
      "Tensor? gradient_scale, float learning_rate, float beta1, float beta2, float epsilon, float weight_decay, int "
      "updates, float momentum, int seed, int step, int number) -> ()");
  m.def("sum_of_squares(Tensor values) -> Tensor");
}

namespace {

void check(const AdamWTensors& tensors, const AdamWUpdate& update) {
  const at::Tensor& parameter = tensors.parameter;
  TORCH_CHECK_VALUE(parameter.scalar_type() == at::kFloat || parameter.scalar_type() == at::kBFloat16,
                    "[adamw] parameter must be float32 or bfloat16 but is ", parameter.scalar_type());
  TORCH_CHECK_VALUE(tensors.gradient.defined() || tensors.target.defined(),
                    "[adamw] there must be a gradient or a target but there is neither");
  const auto check_like = [&](const char* name, const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    TORCH_CHECK_VALUE(tensor.sizes() == parameter.sizes() && tensor.scalar_type() == parameter.scalar_type() &&
                          tensor.device() == parameter.device() && tensor.is_contiguous(),
                      "[adamw] ", name, " must be contiguous, with the shape, dtype and device of parameter (",
                      parameter.sizes(), ", ", parameter.scalar_type(), ", ", parameter.device(), ") but is ",
                      tensor.sizes(), ", ", tensor.scalar_type(), ", ", tensor.device());
  };
  check_like("parameter", parameter);
  check_like("exp_avg", tensors.exp_avg);
  check_like("exp_avg_sq", tensors.exp_avg_sq);
  check_like("target", tensors.target);
  check_like("gradient", tensors.gradient);
  const auto check_share = [](const char* name, double value, bool with_one) {
    TORCH_CHECK_VALUE(value >= 0.0 && (with_one ? value <= 1.0 : value < 1.0), "[adamw] ", name, " must lie in [0, 1",
                      with_one ? "]" : ")", " but is ", value);
  };
  check_share("beta1", update.beta1, false);
  check_share("beta2", update.beta2, false);
  check_share("momentum", update.momentum, true);
  TORCH_CHECK_VALUE(update.updates >= 1, "[adamw] updates must be at least 1 but is ", update.updates);
}

}  // namespace

void adamw_(const AdamWTensors& tensors, const AdamWUpdate& update) {
  check(tensors, update);
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("ehrjepa::adamw_", "")
          .typed<void(const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                      const std::optional<at::Tensor>&, const std::optional<at::Tensor>&, double, double, double,
                      double, double, std::int64_t, double, std::int64_t, std::int64_t, std::int64_t)>();
  const auto optional = [](const at::Tensor& tensor) {
    return tensor.defined() ? std::optional(tensor) : std::nullopt;
  };
  op.call(tensors.parameter, tensors.exp_avg, tensors.exp_avg_sq, optional(tensors.target), optional(tensors.gradient),
          optional(update.gradient_scale), update.learning_rate, update.beta1, update.beta2, update.epsilon,
          update.weight_decay, update.updates, update.momentum, static_cast<std::int64_t>(update.seed), update.step,
          update.parameter);
}

at::Tensor sum_of_squares(const at::Tensor& values) {
  TORCH_CHECK_VALUE(values.scalar_type() == at::kFloat || values.scalar_type() == at::kBFloat16,
                    "[sum_of_squares] values must be float32 or bfloat16 but are ", values.scalar_type());
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("ehrjepa::sum_of_squares", "").typed<decltype(sum_of_squares)>();
  return op.call(values.contiguous());
}

}  // namespace ehrjepa::ops
