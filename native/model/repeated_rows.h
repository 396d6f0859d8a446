#pragma once
#include <ATen/core/Tensor.h>

namespace ehrjepa::model {

/// Rows of a tensor, any of them more than once, with the same gradient every time: what a row takes from several
/// places is summed in a fixed order. The gradient of libtorch's `index_select` is summed by atomic additions on CUDA,
/// in whatever order they come.
///
/// @param x       (N, ...). @param rows  (M) int64, each in [0, N), on the device of x.
/// @return        (M, ...)
at::Tensor repeated_rows(const at::Tensor& x, const at::Tensor& rows);

}  // namespace ehrjepa::model
