#include "ops/adamw/cpu.h"

#include <ATen/ops/scalar_tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "core/random.h"
#include "ops/adamw/factors.h"
#include "ops/cpu_types.h"
#include "ops/kernel_set.h"

namespace ehrjepa::ops {
namespace adamw_cpu {
namespace {

/// Elements that a thread takes at a time: whole tiles.
constexpr std::int64_t part = 65'536;
static_assert(part % tile == 0);

const Kernels& best_set() { return set_of(best_isa(), plain_kernels, avx2_kernels, avx512_kernels); }

template <typename T>
T* pointer(const at::Tensor& tensor) {
  return tensor.defined() ? data_of<T>(tensor) : nullptr;
}

template <typename T>
void update_elements(const AdamWTensors& tensors, const Factors& factors, const RoundingKey& key, Update<T> kernel) {
  const Arrays<T> arrays{pointer<T>(tensors.parameter), pointer<T>(tensors.exp_avg), pointer<T>(tensors.exp_avg_sq),
                         pointer<T>(tensors.target), pointer<T>(tensors.gradient)};
  const std::int64_t count = tensors.parameter.numel();
  at::parallel_for(0, (count + part - 1) / part, 1, [&](std::int64_t first, std::int64_t last) {
    kernel(arrays, first * part, std::min(count, last * part), factors, key);
  });
}

template <typename T>
double total_of_squares(const at::Tensor& values, SumOfSquares<T> kernel) {
  const std::int64_t count = values.numel();
  const T* const elements = data_of<T>(values);
  // One sum per part, added up in order: threads cannot change it.
  std::vector<double> sums(static_cast<std::size_t>((count + part - 1) / part));
  at::parallel_for(0, static_cast<std::int64_t>(sums.size()), 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t p = first; p < last; ++p) {
      sums[static_cast<std::size_t>(p)] = kernel(elements, p * part, std::min(count, (p + 1) * part));
    }
  });
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace

void update(const AdamWTensors& tensors, const AdamWUpdate& options, const Kernels& set) {
  const Factors factors = factors_of(options);
  const RoundingKey key{static_cast<std::uint32_t>(options.seed), static_cast<std::uint32_t>(options.seed >> 32),
                        options.step, options.parameter, static_cast<std::uint32_t>(RandomPurpose::kRounding)};
  if (tensors.parameter.scalar_type() == at::kBFloat16) {
    update_elements<Bf16>(tensors, factors, key, set.bfloat16);
  } else {
    update_elements<float>(tensors, factors, key, set.float32);
  }
}

at::Tensor sum_of_squares(const at::Tensor& values, const Kernels& set) {
  const double total = values.scalar_type() == at::kBFloat16 ? total_of_squares<Bf16>(values, set.squares_bfloat16)
                                                             : total_of_squares<float>(values, set.squares_float32);
  return at::scalar_tensor(total, values.options().dtype(at::kDouble));
}

}  // namespace adamw_cpu

TORCH_LIBRARY_IMPL(ehrjepa, CPU, m) {
  m.impl("adamw_",
         [](const at::Tensor& parameter, const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
            const std::optional<at::Tensor>& target, const std::optional<at::Tensor>& gradient, double gradient_scale,
            double learning_rate, double beta1, double beta2, double epsilon, double weight_decay, std::int64_t updates,
            double momentum, std::int64_t seed, std::int64_t step, std::int64_t number) {
           adamw_cpu::update({.parameter = parameter,
                              .exp_avg = exp_avg,
                              .exp_avg_sq = exp_avg_sq,
                              .target = target.value_or(at::Tensor()),
                              .gradient = gradient.value_or(at::Tensor())},
                             {.gradient_scale = gradient_scale,
                              .learning_rate = learning_rate,
                              .beta1 = beta1,
                              .beta2 = beta2,
                              .epsilon = epsilon,
                              .weight_decay = weight_decay,
                              .updates = updates,
                              .momentum = momentum,
                              .seed = static_cast<std::uint64_t>(seed),
                              .step = static_cast<std::uint32_t>(step),
                              .parameter = static_cast<std::uint32_t>(number)},
                             adamw_cpu::best_set());
         });
  m.impl("sum_of_squares",
         [](const at::Tensor& values) { return adamw_cpu::sum_of_squares(values, adamw_cpu::best_set()); });
}

}  // namespace ehrjepa::ops
