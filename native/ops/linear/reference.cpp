#include <ATen/ops/linear.h>

#include "ops/linear/linear.h"

namespace ehrjepa::ops {

at::Tensor linear_reference(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                            const std::optional<at::Tensor>& bias_O) {
  return at::linear(x_TI, weight_OI, bias_O);
}

}  // namespace ehrjepa::ops
