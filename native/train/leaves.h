#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace ehrjepa::train {

/// The tensors at which the gradients of a step end, one for each trained parameter: the parameter itself or, where
/// ranks share it out, the copy that its passes compute with.
struct Leaves {
  std::vector<at::Tensor> tensors;
  std::vector<at::ScalarType> dtypes;  ///< of the parameters, and so of their gradients

  std::size_t size() const { return tensors.size(); }
  void add(const at::Tensor& leaf, at::ScalarType dtype) {
    tensors.push_back(leaf);
    dtypes.push_back(dtype);
  }
};

}  // namespace ehrjepa::train
