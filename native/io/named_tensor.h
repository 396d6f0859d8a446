#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace ehrjepa::io {

/// A tensor with its name in files.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// A tensor of a file that is made when its turn to be written comes: of many, one alone is in memory.
struct TensorToWrite {
  std::string name;
  std::vector<std::int64_t> shape;
  at::ScalarType dtype;
  std::function<at::Tensor()> make;  ///< empty: another process writes it
};

}  // namespace ehrjepa::io
