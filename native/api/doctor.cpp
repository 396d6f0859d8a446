#include "api/doctor.h"

#include "doctor/op_checks.h"

namespace ehrjepa::api {

std::vector<OpCheck> check_ops(const OpCheckOptions& options, const std::atomic<bool>& cancelled) {
  return doctor::check_ops(options, cancelled);
}

}  // namespace ehrjepa::api
