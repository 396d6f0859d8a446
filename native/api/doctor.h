#pragma once
#include <atomic>
#include <vector>

#include "contract/doctor.h"

namespace ehrjepa::api {

/// Every op on a device against its reference, and how fast it is there.
std::vector<OpCheck> check_ops(const OpCheckOptions& options, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::api
