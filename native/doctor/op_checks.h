#pragma once
#include <atomic>
#include <vector>

#include "contract/doctor.h"

namespace ehrjepa::doctor {

/// Every op that a training step is made of. A number that is not finite is an infinite error.
/// @throws Cancelled between ops, and whatever an op throws on the device.
std::vector<OpCheck> check_ops(const OpCheckOptions& options, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::doctor
