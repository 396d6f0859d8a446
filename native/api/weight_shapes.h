#pragma once
#include <vector>

#include "contract/model.h"

namespace ehrjepa::api {

/// The weights of a decoder in the order of the files; a tied head is none of its own.
/// @throws for a shape that breaks a rule.
std::vector<WeightShape> weight_shapes(const Qwen3Config& config);

}  // namespace ehrjepa::api
