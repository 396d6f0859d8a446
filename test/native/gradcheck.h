#pragma once
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <functional>
#include <vector>

/// Largest difference between autograd's gradients and central differences, relative to the largest gradient.
/// @param function  float64 inputs -> tensor; its inner product with fixed random numbers is differentiated.
inline double gradcheck(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& function,
                        const std::vector<at::Tensor>& inputs, double step = 1e-6) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.detach().clone().requires_grad_(true));
  const at::Tensor output = function(leaves);
  const at::Tensor upstream = at::randn_like(output).detach();
  const std::vector<at::Tensor> gradients = torch::autograd::grad({(output * upstream).sum()}, leaves);
  const at::NoGradGuard no_grad;
  double worst = 0, largest = 0;
  for (std::size_t which = 0; which < inputs.size(); ++which) {
    const at::Tensor flat = leaves[which].detach().view({-1});
    const at::Tensor gradient = gradients[which].contiguous().view({-1});
    for (std::int64_t i = 0; i < flat.numel(); ++i) {
      double* const value = flat.data_ptr<double>() + i;
      const double kept = *value;
      *value = kept + step;
      const double above = (function(leaves) * upstream).sum().item<double>();
      *value = kept - step;
      const double below = (function(leaves) * upstream).sum().item<double>();
      *value = kept;
      worst = std::max(worst, std::abs((above - below) / (2 * step) - gradient[i].item<double>()));
      largest = std::max(largest, std::abs(gradient[i].item<double>()));
    }
  }
  return worst / std::max(largest, 1e-12);
}
