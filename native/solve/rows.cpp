#include "solve/rows.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/nonzero.h>

#include <string>

#include "core/error.h"
#include "solve/inputs.h"

namespace ehrjepa::solve {

WeightedRows weighted_rows(const char* scope, const at::Tensor& features_ND, const at::Tensor& weights_N) {
  WeightedRows result;
  const at::Tensor wide_ND = checked_matrix(scope, "features", features_ND);
  const std::int64_t rows = wide_ND.size(0);
  if (weights_N.numel() == 0) {
    result.features_ND = wide_ND;
    result.kept_N = at::arange(rows, at::kLong);
    result.weights_N = at::full({rows}, 1.0 / static_cast<double>(rows), at::kDouble);
  } else {
    const at::Tensor wrong_N = at::isfinite(weights_N).logical_and(weights_N.ge(0)).logical_not();
    if (wrong_N.any().item<bool>()) {
      throw Error(std::string("[") + scope + "] weights must be at least 0 and finite but hold " +
                  std::to_string(weights_N.masked_select(wrong_N)[0].item<double>()));
    }
    result.kept_N = at::nonzero(weights_N).view({-1});
    if (result.kept_N.numel() == 0) {
      throw Error(std::string("[") + scope + "] weights must hold one above 0 but are all 0");
    }
    result.features_ND = wide_ND.index_select(0, result.kept_N);
    result.weights_N = weights_N.index_select(0, result.kept_N);
    result.weights_N = result.weights_N / result.weights_N.sum();
  }
  result.mean_D = result.weights_N.matmul(result.features_ND);
  result.features_ND = result.features_ND - result.mean_D;
  return result;
}

}  // namespace ehrjepa::solve
