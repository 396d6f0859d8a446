#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/library.h>

#include <algorithm>
#include <array>

#include "core/random.h"
#include "memory/transfer.h"
#include "ops/adamw/adamw.h"
#include "ops/adamw/arguments.h"
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

/// (count) int32 on the host: the bits of elements [begin, begin + count).
at::Tensor random_bits_of(const AdamWUpdate& update, std::int64_t begin, std::int64_t count, Share share) {
  const at::Tensor bits = at::empty({count}, memory::on_host(at::kInt));
  auto* const values = bits.data_ptr<std::int32_t>();
  at::parallel_for(0, count, 4096, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      values[i] = static_cast<std::int32_t>(random_bits(update, begin + i, share));
    }
  });
  return bits;
}

/// An update of one parameter on its way: what it is made with, and where it may be made.
struct Writing {
  const AdamWUpdate& update;
  at::Tensor wanted;  ///< () bool: false leaves everything as it is

  /// Writes float32 results to where they belong.
  void operator()(const at::Tensor& to, const at::Tensor& values, Share share) const {
    if (to.scalar_type() == at::kFloat) {
      to.copy_(at::where(wanted, values, to));
      return;
    }
    // Some elements at a time: their words are as large as they are.
    constexpr std::int64_t piece = std::int64_t{1} << 24;
    const at::Tensor flat = to.view({-1}), from = values.reshape({-1});
    for (std::int64_t begin = 0; begin < flat.size(0); begin += piece) {
      const std::int64_t count = std::min(piece, flat.size(0) - begin);
      const at::Tensor bits = memory::upload(random_bits_of(update, begin, count, share), to.device());
      const at::Tensor words = from.narrow(0, begin, count).contiguous().view(at::kInt) + bits;
      const at::Tensor rounded = words.bitwise_right_shift(16).to(at::kShort).view(at::kBFloat16);
      const at::Tensor part = flat.narrow(0, begin, count);
      part.copy_(at::where(wanted, rounded, part));
    }
  }
};

}  // namespace

void adamw_reference_(const AdamWTensors& tensors, const AdamWUpdate& update) {
  const at::NoGradGuard no_grad;
  const adamw_cpu::Factors f = factors_of(update);
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kFloat); };
  const at::Tensor given = update.gradient_scale;
  const at::Tensor scale = given.defined() ? given.to(tensors.parameter.options().dtype(at::kFloat))
                                           : at::full({}, 1.0, tensors.parameter.options().dtype(at::kFloat));
  const Writing write{update, given.defined() ? given.isfinite() : scale.isfinite()};
  if (tensors.gradient.defined()) {
    const at::Tensor gradient = wide(tensors.gradient) * scale;
    at::Tensor exp_avg = wide(tensors.exp_avg);
    exp_avg = exp_avg + (gradient - exp_avg) * f.beta1_rest;
    const at::Tensor exp_avg_sq = wide(tensors.exp_avg_sq) * f.beta2 + gradient * gradient * f.beta2_rest;
    // By way of float64: libtorch's float32 roots may be off in the last bit.
    const at::Tensor root = exp_avg_sq.to(at::kDouble).sqrt().to(at::kFloat) * f.root_scale + f.epsilon;
    write(tensors.parameter, wide(tensors.parameter) * f.decay - exp_avg * f.step_size / root, Share::kParameter);
    write(tensors.exp_avg, exp_avg, Share::kExpAvg);
    write(tensors.exp_avg_sq, exp_avg_sq, Share::kExpAvgSq);
  }
  if (!tensors.target.defined()) return;
  const at::Tensor parameter = wide(tensors.parameter), target = wide(tensors.target);
  write(tensors.target, (f.from_parameter ? parameter : target) + (parameter - target) * f.target_share,
        Share::kTarget);
}

namespace {

at::Tensor sum_of_squares_reference(const at::Tensor& values) {
  constexpr std::int64_t piece = std::int64_t{1} << 24;
  const at::Tensor flat = values.view({-1});
  at::Tensor sum = at::zeros({}, values.options().dtype(at::kDouble));
  for (std::int64_t begin = 0; begin < flat.size(0); begin += piece) {
    sum += flat.narrow(0, begin, std::min(piece, flat.size(0) - begin)).to(at::kDouble).square().sum();
  }
  return sum;
}

}  // namespace

TORCH_LIBRARY_IMPL(ehrjepa, CompositeExplicitAutograd, m) {
  m.impl("adamw_", &adamw_with_arguments<adamw_reference_>);
  m.impl("sum_of_squares", &sum_of_squares_reference);
}

}  // namespace ehrjepa::ops
