#include <ATen/TensorOperators.h>
#include <ATen/ops/silu.h>

#include "ops/swiglu/swiglu.h"

namespace ehrjepa::ops {

at::Tensor swiglu_reference(const at::Tensor& gate, const at::Tensor& up) { return at::silu(gate) * up; }

}  // namespace ehrjepa::ops
