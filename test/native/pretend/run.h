#pragma once
#include <ATen/core/boxing/KernelFunction.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

namespace pretend {

/// Any op on tensors of one pretend device: its CPU kernel, on the very memory of the arguments. Results are copied to
/// memory of the device; those that are views of an argument stay views of it.
/// @throws when tensors of two devices, or of the host, meet; numbers (tensors of no dimension) may come from the host.
void run(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack);

}  // namespace pretend
