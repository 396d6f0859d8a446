#include "ops/adamw/cpu.h"

#include <ATen/ops/scalar_tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/random.h"
#include "ops/adamw/arguments.h"
#include "ops/adamw/factors.h"
#include "ops/cpu_types.h"
#include "ops/kernel_set.h"

namespace ehrjepa::ops {
namespace adamw_cpu {
namespace {

/// Elements that a thread takes at a time: whole tiles.
constexpr std::int64_t part = 65'536;
static_assert(part % tile == 0);

const Kernels& best_set() { return best_of(plain_kernels, avx2_kernels, avx512_kernels); }

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
  Factors factors = factors_of(options);
  if (options.gradient_scale.defined()) {
    const double scale = options.gradient_scale.item<double>();
    if (!std::isfinite(scale)) return;
    factors.gradient_scale = static_cast<float>(scale);
  }
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

namespace {

void update_best(const AdamWTensors& tensors, const AdamWUpdate& options) { update(tensors, options, best_set()); }

}  // namespace
}  // namespace adamw_cpu

TORCH_LIBRARY_IMPL(ehrjepa, CPU, m) {
  m.impl("adamw_", &adamw_with_arguments<adamw_cpu::update_best>);
  m.impl("sum_of_squares",
         [](const at::Tensor& values) { return adamw_cpu::sum_of_squares(values, adamw_cpu::best_set()); });
}

}  // namespace ehrjepa::ops
