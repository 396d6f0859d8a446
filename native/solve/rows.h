#pragma once
#include <ATen/core/Tensor.h>

namespace ehrjepa::solve {

/// Rows that count, ready for a solver.
struct WeightedRows {
  at::Tensor features_ND;  ///< float64, centred by `mean`
  at::Tensor weights_N;    ///< float64, positive, sum to 1
  at::Tensor kept_N;       ///< int64, which of the given rows
  at::Tensor mean_D;       ///< weighted mean of each column, which was taken away
};

/// Drops rows of weight 0 and centres the others.
/// @param weights_N  empty for 1 each.
/// @throws Error when a feature is not finite, a weight is negative or not finite, or none is positive.
WeightedRows weighted_rows(const char* scope, const at::Tensor& features_ND, const at::Tensor& weights_N);

}  // namespace ehrjepa::solve
