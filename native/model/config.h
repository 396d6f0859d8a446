#pragma once
#include <cstdint>

#include "contract/model.h"

namespace ehrjepa::model {

/// @throws Error naming the first rule that is broken.
void check(const Qwen3Config& config);

/// Unique scalars: a tied head counts once.
std::int64_t parameter_count(const Qwen3Config& config);

}  // namespace ehrjepa::model
