#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

#include "ops/attention/attention.h"
#include "ops/attention/cpu_kernels.h"

// What the dispatcher calls with the kernels of `best_isa()`; tests and benchmarks call it with those that they mean.
namespace ehrjepa::ops::attention_cpu {

struct Chosen {
  const KernelSet<Kernels>& set;
  const PairKernels* pairs = nullptr;  ///< for bfloat16, instead of the set's
};

/// `attention_forward`.
std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                           const AttentionLayout& layout, double softmax_scale,
                                           at::OptionalIntArrayRef rows, const Chosen& chosen);

/// `attention_backward`.
std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& grad_out, const at::Tensor& q,
                                                        const at::Tensor& k, const at::Tensor& v, const at::Tensor& out,
                                                        const at::Tensor& log_sum_NQ, const AttentionLayout& layout,
                                                        double softmax_scale, at::OptionalIntArrayRef rows,
                                                        const Chosen& chosen);

}  // namespace ehrjepa::ops::attention_cpu
