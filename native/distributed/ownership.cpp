#include "distributed/ownership.h"

#include <algorithm>
#include <numeric>

namespace ehrjepa::distributed {

Ownership::Ownership(const std::vector<std::int64_t>& sizes, std::int64_t rank, std::int64_t ranks)
    : rank_(rank),
      owners_(sizes.size()),
      loads_(static_cast<std::size_t>(ranks)),
      parameters_(static_cast<std::size_t>(ranks)) {
  std::vector<std::size_t> by_size(sizes.size());
  std::iota(by_size.begin(), by_size.end(), std::size_t{0});
  std::ranges::stable_sort(by_size, [&](std::size_t a, std::size_t b) { return sizes[a] > sizes[b]; });
  for (const std::size_t parameter : by_size) {
    const auto least = std::ranges::min_element(loads_);
    *least += sizes[parameter];
    owners_[parameter] = least - loads_.begin();
  }
  for (std::size_t i = 0; i < owners_.size(); ++i) parameters_[static_cast<std::size_t>(owners_[i])].push_back(i);
}

}  // namespace ehrjepa::distributed
