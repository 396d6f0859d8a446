#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "io/named_tensor.h"

namespace ehrjepa::model {

using io::NamedTensor;

/// (shape) float32 on the host, normal with the given standard deviation; parameter number `index` has its own stream
/// of draws, so adding a parameter does not change the others.
at::Tensor normal_parameter(at::IntArrayRef shape, double standard_deviation, std::uint64_t seed, std::uint32_t index);

/// (shape) float32 on the host, uniform in [-bound, bound); streams as `normal_parameter`.
at::Tensor uniform_parameter(at::IntArrayRef shape, double bound, std::uint64_t seed, std::uint32_t index);

/// Makes every tensor a leaf that wants a gradient.
void require_gradients(const std::vector<NamedTensor>& parameters);

}  // namespace ehrjepa::model
