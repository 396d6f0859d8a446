#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace ehrjepa::io {

/// A tensor with its name in files.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

}  // namespace ehrjepa::io
