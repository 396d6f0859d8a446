#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <array>
#include <cstring>

#include "core/random.h"
#include "ops/adamw/adamw.h"
#include "ops/adamw/factors.h"

namespace ehrjepa::ops {
namespace {

/// Which bits of an element's two words round a value.
enum class Share { kParameter, kExpAvg, kExpAvgSq, kTarget };

std::uint32_t random_bits(const AdamWUpdate& update, std::int64_t element, Share share) {
  constexpr std::int64_t tile = adamw_cpu::tile, half = tile / 2;
  const std::int64_t block = element / tile * half + element % half;
  std::array<std::uint32_t, 4> words{};
  random_words(update.seed, RandomPurpose::kRounding, update.step, update.parameter, static_cast<std::uint32_t>(block),
               words);
  const std::size_t first = element % tile < half ? 0 : 2;
  const std::uint32_t word = words[first + (share == Share::kExpAvgSq || share == Share::kTarget ? 1 : 0)];
  return share == Share::kParameter || share == Share::kExpAvgSq ? word & 0xffffU : word >> 16;
}

/// Writes float32 results to where they belong.
void write(const at::Tensor& to, const at::Tensor& values, const AdamWUpdate& update, Share share) {
  if (to.scalar_type() == at::kFloat) {
    to.copy_(values);
    return;
  }
  const at::Tensor contiguous = values.contiguous();
  const float* const from = contiguous.data_ptr<float>();
  auto* const bits = static_cast<std::uint16_t*>(to.data_ptr());
  for (std::int64_t i = 0; i < to.numel(); ++i) {
    std::uint32_t word;
    std::memcpy(&word, from + i, sizeof(word));
    bits[i] = static_cast<std::uint16_t>((word + random_bits(update, i, share)) >> 16);
  }
}

}  // namespace

void adamw_reference_(const AdamWTensors& tensors, const AdamWUpdate& update) {
  const at::NoGradGuard no_grad;
  const adamw_cpu::Factors f = factors_of(update);
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kFloat); };
  if (tensors.gradient.defined()) {
    const at::Tensor gradient = wide(tensors.gradient) * f.gradient_scale;
    at::Tensor exp_avg = wide(tensors.exp_avg);
    exp_avg = exp_avg + (gradient - exp_avg) * f.beta1_rest;
    const at::Tensor exp_avg_sq = wide(tensors.exp_avg_sq) * f.beta2 + gradient * gradient * f.beta2_rest;
    // By way of float64: libtorch's float32 roots may be off in the last bit.
    const at::Tensor scale = exp_avg_sq.to(at::kDouble).sqrt().to(at::kFloat) * f.root_scale + f.epsilon;
    write(tensors.parameter, wide(tensors.parameter) * f.decay - exp_avg * f.step_size / scale, update,
          Share::kParameter);
    write(tensors.exp_avg, exp_avg, update, Share::kExpAvg);
    write(tensors.exp_avg_sq, exp_avg_sq, update, Share::kExpAvgSq);
  }
  if (!tensors.target.defined()) return;
  const at::Tensor parameter = wide(tensors.parameter), target = wide(tensors.target);
  write(tensors.target, (f.from_parameter ? parameter : target) + (parameter - target) * f.target_share, update,
        Share::kTarget);
}

}  // namespace ehrjepa::ops
