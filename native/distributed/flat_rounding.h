#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace ehrjepa::distributed {

/// Parameters one behind another in a flat vector of float32 gradients, which is to travel in bfloat16: each number is
/// rounded up or down at random, so that its expectation is the number itself (Gupta et al. 2015). A draw is a function
/// of seed, step, parameter, element and of what is rounded alone: not of how the vector is cut, or laid out.
class FlatRounding {
 public:
  /// @param parameters  their numbers, in the order of the vector.
  /// @param lengths     numbers in each.
  FlatRounding(std::uint64_t seed, std::uint32_t step, const std::vector<std::size_t>& parameters,
               const std::vector<std::int64_t>& lengths);

  /// Rounds a part of the vector in place to numbers that bfloat16 has; those that are not finite stay.
  /// @param values  contiguous float32, on any device.
  /// @param begin   where in the vector it lies.
  /// @param shard   the first of those whose sum it is; kAll: the sum of all.
  void round_(const at::Tensor& values, std::int64_t begin, std::int64_t shard) const;
  static constexpr std::int64_t kAll = -1;

 private:
  struct Segment {
    std::int64_t begin, end;
    std::uint32_t parameter;
  };
  std::uint64_t seed_;
  std::uint32_t step_;
  std::vector<Segment> segments_;
};

}  // namespace ehrjepa::distributed
