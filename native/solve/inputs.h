#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace ehrjepa::solve {

/// A matrix in float64, contiguous.
/// @param scope, name  of the solver and its argument, for the message.
/// @throws Error when it has no row, no column or a value that is not finite.
at::Tensor checked_matrix(const char* scope, const char* name, const at::Tensor& matrix);

enum class LeastPenalty { zero, positive };

/// @throws Error unless there is a penalty and each is finite and positive, or 0 where that is allowed.
void check_penalties(const char* scope, const std::vector<double>& l2, LeastPenalty least = LeastPenalty::positive);

}  // namespace ehrjepa::solve
