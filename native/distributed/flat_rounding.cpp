#include "distributed/flat_rounding.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <bit>

#include "core/random.h"

namespace ehrjepa::distributed {
namespace {

/// Numbers that one block of the generator serves, 16 bits each.
constexpr std::int64_t kPerBlock = 8;
constexpr std::int64_t kGrain = 1 << 15;
constexpr std::uint32_t kExponent = 0x7f800000;

struct RoundingKey {
  std::array<std::uint32_t, 2> seed;
  std::uint32_t step, parameter, purpose;
};

/// @param first  of the parameter's numbers.
void round_numbers(float* values, std::int64_t count, std::int64_t first, const RoundingKey& key) {
  at::parallel_for(0, count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::array<std::uint32_t, 4> words{};
    std::int64_t drawn = -1;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t block = (first + i) / kPerBlock, place = (first + i) % kPerBlock;
      if (block != drawn) {
        words = philox4x32({static_cast<std::uint32_t>(block), key.step, key.parameter, key.purpose}, key.seed);
        drawn = block;
      }
      const std::uint32_t word = words[static_cast<std::size_t>(place / 2)];
      const std::uint32_t draw = place % 2 == 0 ? word & 0xffff : word >> 16;
      const auto bits = std::bit_cast<std::uint32_t>(values[i]);
      if ((bits & kExponent) != kExponent) values[i] = std::bit_cast<float>((bits + draw) & 0xffff0000);
    }
  });
}

}  // namespace

FlatRounding::FlatRounding(std::uint64_t seed, std::uint32_t step, const std::vector<std::size_t>& parameters,
                           const std::vector<std::int64_t>& lengths)
    : seed_(seed), step_(step) {
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    segments_.push_back({begin, begin + lengths[i], static_cast<std::uint32_t>(parameters[i])});
    begin += lengths[i];
  }
}

void FlatRounding::round_(const at::Tensor& values, std::int64_t begin, std::int64_t shard) const {
  const at::NoGradGuard no_grad;
  const at::Tensor host = values.to(at::kCPU);
  float* const numbers = host.data_ptr<float>();
  const std::int64_t end = begin + host.numel();
  const auto purpose =
      static_cast<std::uint32_t>(RandomPurpose::kTravel) | (static_cast<std::uint32_t>(shard + 1) << 8U);
  for (const Segment& segment : segments_) {
    const std::int64_t from = std::max(begin, segment.begin), to = std::min(end, segment.end);
    if (from >= to) continue;
    round_numbers(numbers + (from - begin), to - from, from - segment.begin,
                  {{static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32U)},
                   step_,
                   segment.parameter,
                   purpose});
  }
  if (!values.is_cpu()) values.copy_(host);
}

}  // namespace ehrjepa::distributed
