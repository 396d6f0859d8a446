#include "solve/inputs.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>

#include <cmath>
#include <string>

#include "core/error.h"

namespace ehrjepa::solve {

at::Tensor checked_matrix(const char* scope, const char* name, const at::Tensor& matrix) {
  if (matrix.size(0) == 0 || matrix.size(1) == 0) {
    throw Error(std::string("[") + scope + "] " + name + " must have at least one row and one column but are " +
                std::to_string(matrix.size(0)) + " x " + std::to_string(matrix.size(1)));
  }
  const at::Tensor wide = matrix.to(at::kDouble).contiguous();
  const at::Tensor finite = at::isfinite(wide);
  if (!finite.all().item<bool>()) {
    throw Error(std::string("[") + scope + "] " + name + " must be finite but hold " +
                std::to_string(wide.numel() - finite.sum().item<std::int64_t>()) + " values that are NaN or infinite");
  }
  return wide;
}

void check_penalties(const char* scope, const std::vector<double>& l2, LeastPenalty least) {
  if (l2.empty()) throw Error(std::string("[") + scope + "] l2 must hold at least one penalty but is empty");
  for (const double penalty : l2) {
    const bool large_enough = penalty > 0.0 || (least == LeastPenalty::zero && penalty == 0.0);
    if (!large_enough || !std::isfinite(penalty)) {
      throw Error(std::string("[") + scope + "] l2 must be " +
                  (least == LeastPenalty::zero ? "at least 0" : "positive") + " and finite but holds " +
                  std::to_string(penalty));
    }
  }
}

}  // namespace ehrjepa::solve
