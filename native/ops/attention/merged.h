#pragma once
#include "ops/attention/attention.h"
#include "ops/attention/ranges.h"

namespace ehrjepa::ops {

/// Attention of a whole layout out of a library's attention of segments, with its exact gradient. Two calls: each trunk
/// sequence and branch with its own keys, and each branch with its context. A branch row's two results are merged by
/// their log-sums,
///
///   log_sum = log(exp(l1) + exp(l2)),   out = out1 exp(l1 - log_sum) + out2 exp(l2 - log_sum),
///
/// and the gradient is the sum of both calls' gradients, each given the merged `out` and `log_sum`. The rows of an
/// isolated branch see one key of their own, for which no call is needed.
///
/// Arguments as of `attention`, without chosen rows.
at::Tensor attention_merged(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionLayout& layout, double softmax_scale, const RangeAttention& ranges);

}  // namespace ehrjepa::ops
