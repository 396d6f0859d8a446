#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "train/leaves.h"

namespace ehrjepa::train {

/// @throws Error for a loss that nothing that is trained leads to.
void require_trained(const at::Tensor& loss);

/// Cosine of two sums from their `products`, () float64; 0 when one of them vanishes.
at::Tensor cosine(const at::Tensor& products);

/// Gradients of several losses, added up; undefined where no loss reached a parameter.
class GradientSum {
 public:
  /// @param leaves  must outlive the sum.
  explicit GradientSum(const Leaves& leaves) : leaves_(leaves), values_(leaves.size()) {}

  /// Backward pass of a loss.
  /// @param keep_graph  when another loss of the same forward pass comes after it.
  void add(const at::Tensor& loss, bool keep_graph);
  void add(const GradientSum& other) { merge(other.values_); }
  /// Gradients from elsewhere, one per parameter.
  void add_values(const std::vector<at::Tensor>& gradients) { merge(gradients); }
  /// Of the first `count` parameters, in float64: the squares of this sum, those of another and their products, (3,
  /// count); 0 where there are none or another rank has them.
  at::Tensor products(const GradientSum& other, std::size_t count) const;
  /// The sum; empty afterwards.
  std::vector<at::Tensor> take() { return std::exchange(values_, std::vector<at::Tensor>(leaves_.size())); }

 private:
  void merge(const std::vector<at::Tensor>& gradients);
  const Leaves& leaves_;
  std::vector<at::Tensor> values_;
};

}  // namespace ehrjepa::train
