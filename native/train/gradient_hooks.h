#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <vector>

namespace ehrjepa::train {

/// While it lives, backward passes hand each gradient over as soon as it is whole, and keep none.
class GradientHooks {
 public:
  using Call = std::function<void(std::size_t parameter, const at::Tensor& gradient)>;

  /// @param parameters  leaves.
  /// @param call        what it throws ends the backward pass.
  GradientHooks(const std::vector<at::Tensor>& parameters, const Call& call);
  ~GradientHooks();
  GradientHooks(const GradientHooks&) = delete;
  GradientHooks& operator=(const GradientHooks&) = delete;

 private:
  std::vector<at::Tensor> parameters_;
};

}  // namespace ehrjepa::train
