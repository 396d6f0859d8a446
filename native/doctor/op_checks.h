#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "contract/doctor.h"

namespace ehrjepa::doctor {

struct NamedCheck {
  std::string name;
  std::function<OpCheck()> run;
};

/// Every op that a training step is made of, then attention once more by each way that there is.
std::vector<NamedCheck> op_checks(const OpCheckOptions& options);

/// All of them. A number that is not finite is an infinite error.
/// @throws Cancelled between ops, and whatever an op throws on the device.
std::vector<OpCheck> check_ops(const OpCheckOptions& options, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::doctor
