#include "model/parameters.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "core/random.h"
#include "memory/transfer.h"

namespace ehrjepa::model {
namespace {

/// @param draw  one value from a stream.
template <typename Draw>
at::Tensor random_parameter(at::IntArrayRef shape, std::uint64_t seed, std::uint32_t index, const Draw& draw) {
  const at::Tensor parameter = at::empty(shape, memory::on_host(at::kFloat));
  float* const values = parameter.data_ptr<float>();
  const std::int64_t count = parameter.numel();
  // One stream per block of 65,536 values: the draws do not depend on how blocks are given to threads.
  constexpr std::int64_t block = 65'536;
  const std::int64_t blocks = (count + block - 1) / block;
  at::parallel_for(0, blocks, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t b = first; b < last; ++b) {
      RandomStream random(seed, RandomPurpose::kInitialisation, index, static_cast<std::uint32_t>(b));
      const std::int64_t end = std::min(count, (b + 1) * block);
      for (std::int64_t i = b * block; i < end; ++i) {
        values[i] = static_cast<float>(draw(random));
      }
    }
  });
  return parameter;
}

}  // namespace

at::Tensor normal_parameter(at::IntArrayRef shape, double standard_deviation, std::uint64_t seed, std::uint32_t index) {
  return random_parameter(shape, seed, index,
                          [=](RandomStream& random) { return standard_deviation * random.normal(); });
}

at::Tensor uniform_parameter(at::IntArrayRef shape, double bound, std::uint64_t seed, std::uint32_t index) {
  return random_parameter(shape, seed, index,
                          [=](RandomStream& random) { return bound * (2.0 * random.uniform() - 1.0); });
}

void require_gradients(const std::vector<NamedTensor>& parameters) {
  for (const NamedTensor& parameter : parameters) parameter.tensor.requires_grad_(true);
}

}  // namespace ehrjepa::model
