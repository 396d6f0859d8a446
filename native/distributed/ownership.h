#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ehrjepa::distributed {

/// Which rank keeps the optimiser's state of each parameter and makes its update: whole parameters, so that an update
/// that needs a whole matrix (Muon), and every sum over one parameter, is computed as by a process on its own. The
/// largest parameters are dealt first, each to the rank that has least: no rank has more than an equal part and the
/// largest parameter.
class Ownership {
 public:
  /// @param sizes  numbers in each parameter.
  Ownership(const std::vector<std::int64_t>& sizes, std::int64_t rank, std::int64_t ranks);

  std::int64_t owner(std::size_t parameter) const { return owners_[parameter]; }
  bool is_own(std::size_t parameter) const { return owners_[parameter] == rank_; }
  std::int64_t rank() const { return rank_; }
  std::int64_t ranks() const { return static_cast<std::int64_t>(parameters_.size()); }
  /// Numbers in the parameters of each rank.
  const std::vector<std::int64_t>& loads() const { return loads_; }
  /// Parameters of a rank, in their order.
  const std::vector<std::size_t>& of(std::int64_t rank) const { return parameters_[static_cast<std::size_t>(rank)]; }

 private:
  std::int64_t rank_;
  std::vector<std::int64_t> owners_;
  std::vector<std::int64_t> loads_;
  std::vector<std::vector<std::size_t>> parameters_;
};

}  // namespace ehrjepa::distributed
