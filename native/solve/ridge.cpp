#include "solve/ridge.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cholesky_solve.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky.h>
#include <ATen/ops/matmul.h>
#include <c10/core/GradMode.h>

#include "core/error.h"
#include "solve/inputs.h"

namespace ehrjepa::solve {

at::Tensor fit_ridge(const at::Tensor& features_ND, const at::Tensor& targets_NO, const std::vector<double>& l2,
                     const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  const at::Tensor wide_ND = checked_matrix("ridge", "features", features_ND);
  const at::Tensor targets = checked_matrix("ridge", "targets", targets_NO);
  check_penalties("ridge", l2);
  const std::int64_t rows = wide_ND.size(0);
  const std::int64_t columns = wide_ND.size(1);
  const bool dual = rows < columns;
  const at::Tensor feature_mean = wide_ND.mean(0, true);
  const at::Tensor target_mean = targets.mean(0, true);
  const at::Tensor x_ND = wide_ND - feature_mean;
  const at::Tensor y_NO = targets - target_mean;
  const at::Tensor gram = dual ? x_ND.matmul(x_ND.t()) : x_ND.t().matmul(x_ND);
  const at::Tensor identity = at::eye(gram.size(0), gram.options());
  std::vector<at::Tensor> solutions;
  for (const double penalty : l2) {
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    const at::Tensor factor = at::linalg_cholesky(gram + identity * (penalty * static_cast<double>(rows)));
    const at::Tensor w_DO =
        dual ? x_ND.t().matmul(at::cholesky_solve(y_NO, factor)) : at::cholesky_solve(x_ND.t().matmul(y_NO), factor);
    const at::Tensor intercept = target_mean - feature_mean.matmul(w_DO);
    solutions.push_back(at::cat({w_DO, intercept}).t().unsqueeze(0));
  }
  return at::cat(solutions).contiguous();
}

}  // namespace ehrjepa::solve
