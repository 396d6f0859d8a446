#pragma once
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

namespace ehrjepa::ops {

/// Segments of queries back to back, and for each a segment of keys; none is empty.
struct Ranges {
  std::vector<std::int64_t> cu_queries = {0};  ///< (segments + 1); starts with 0
  std::vector<std::int64_t> cu_keys = {0};     ///< (segments + 1)
  bool causal = false;                         ///< row i of a segment sees its first i + 1 keys; else it sees all
  bool deterministic = true;                   ///< gradients are summed in the same order every time

  void add(std::int64_t queries, std::int64_t keys) {
    cu_queries.push_back(cu_queries.back() + queries);
    cu_keys.push_back(cu_keys.back() + keys);
  }
  std::int64_t longest_queries() const { return longest(cu_queries); }
  std::int64_t longest_keys() const { return longest(cu_keys); }
  bool empty() const { return cu_queries.size() == 1; }

 private:
  static std::int64_t longest(const std::vector<std::int64_t>& cumulative) {
    std::int64_t most = 0;
    for (std::size_t i = 1; i < cumulative.size(); ++i) most = std::max(most, cumulative[i] - cumulative[i - 1]);
    return most;
  }
};

/// A way of computing attention of segments, as libraries offer it: no branches, no chosen rows.
///
/// `backward` makes the softmax weights again as exp(score - log_sum) and takes <out, grad_out> of each row. So it
/// gives the exact gradients of a part of the keys when `out` and `log_sum` are those of all of them.
struct RangeAttention {
  /// @param q  (Q, N, H). @param k, v  (K, M, H); M divides N.
  /// @return out (Q, N, H), and the natural logarithm of each row's sum of exp(score), (N, Q) in the accumulation
  /// dtype.
  std::tuple<at::Tensor, at::Tensor> (*forward)(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                const Ranges& ranges, double softmax_scale);
  /// @return gradients of q, k and v.
  std::tuple<at::Tensor, at::Tensor, at::Tensor> (*backward)(const at::Tensor& grad_out, const at::Tensor& q,
                                                             const at::Tensor& k, const at::Tensor& v,
                                                             const at::Tensor& out, const at::Tensor& log_sum,
                                                             const Ranges& ranges, double softmax_scale);
};

/// By the definition, segment by segment in plain ATen: what the merge is tested with.
extern const RangeAttention reference_ranges;

}  // namespace ehrjepa::ops
