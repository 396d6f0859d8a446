#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace ehrjepa::model {

/// Part of a network, as a function of every tensor that gradients may flow to: what it reads beside its arguments must
/// be its own, and it must give the same bits each time.
using NetworkPart = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs)>;

/// Runs a part and keeps nothing of it but its inputs; the backward pass runs it again (activation checkpointing; Chen
/// et al. 2016). Results and gradients are those of the part itself, to the bit.
/// @param inputs  all defined.
std::vector<at::Tensor> recomputed(NetworkPart part, const std::vector<at::Tensor>& inputs);

}  // namespace ehrjepa::model
