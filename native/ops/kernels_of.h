#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/TensorOptions.h>

#include "ops/references.h"

namespace ehrjepa::ops {

/// A function that is dispatched by device, by its name in the schema.
inline c10::OperatorHandle function_named(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "");
}

/// True when a function has kernels for the device of a tensor.
inline bool has_kernels(const c10::OperatorHandle& function, const at::Tensor& x) {
  return function.hasComputedKernelForDispatchKey(c10::computeDispatchKey({}, {}, x.device()));
}

/// True when an op is to be computed by its reference, in plain ATen: where the function that it is made of has no
/// kernels for the device, slower and right on every one, and while a `UseReferences` lives.
inline bool by_reference(const c10::OperatorHandle& function, const at::Tensor& x) {
  return references_in_use() || !has_kernels(function, x);
}

}  // namespace ehrjepa::ops
