#include "solve/resample.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/random.h"

namespace ehrjepa::solve {
namespace {

/// Times that a group was drawn. More than 255 of n draws from n has a probability below 1e-500, and is refused.
using Count = std::uint8_t;

void require(bool holds, const std::string& message) {
  if (!holds) throw Error("[resample] " + message);
}

void check_options(const ResampleOptions& options) {
  const auto& [offsets, cells, cell_count, seed, first_draw, draws] = options;
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  require(seed >= 0, "seed must be at least 0 but is " + std::to_string(seed));
  require(first_draw >= 0 && draws >= 0 && first_draw <= most - std::min(draws, most),
          "draws must be from 0 to 2^31 but go from " + std::to_string(first_draw) + " for " + std::to_string(draws));
  require(cell_count >= 0 && cell_count <= most,
          "cell_count must be from 0 to 2^31 but is " + std::to_string(cell_count));
  require(!offsets.empty() && offsets.front() == 0, "offsets must begin with 0");
  require(std::is_sorted(offsets.begin(), offsets.end()), "offsets must ascend");
  const auto samples = static_cast<std::size_t>(offsets.back());
  require(samples == 0 ? cells.empty() : cells.size() % samples == 0,
          "cells must be a multiple of the " + std::to_string(samples) + " samples but are " +
              std::to_string(cells.size()));
  for (const std::int32_t cell : cells)
    require(cell >= 0 && cell < cell_count,
            "cells must be below " + std::to_string(cell_count) + " but one is " + std::to_string(cell));
}

__extension__ using Wide = unsigned __int128;

/// Unbiased integers below a bound, by rejection, from 32-bit words.
class Bounded {
 public:
  explicit Bounded(std::uint32_t bound)
      : bound_(bound), limit_((std::uint64_t{1} << 32) - (std::uint64_t{1} << 32) % bound) {}
  bool accepts(std::uint32_t word) const { return word < limit_; }
  /// word % bound, exactly, by two multiplications (Lemire, Kaser, Kurz 2019).
  std::uint32_t below(std::uint32_t word) const {
    const std::uint64_t low = inverse_ * word;
    return static_cast<std::uint32_t>((static_cast<Wide>(low) * bound_) >> 64);
  }

 private:
  std::uint32_t bound_;
  std::uint64_t limit_;
  std::uint64_t inverse_ = ~std::uint64_t{0} / bound_ + 1;
};

void draw_groups(std::uint64_t seed, std::uint32_t draw, std::span<Count> counts) {
  std::fill(counts.begin(), counts.end(), Count{0});
  const Bounded bounded(static_cast<std::uint32_t>(counts.size()));
  std::array<std::uint32_t, 1024> words;
  std::uint32_t block = 0;
  for (std::size_t drawn = 0; drawn < counts.size(); block += words.size() / 4) {
    random_words(seed, RandomPurpose::kBootstrap, draw, 0, block, words);
    for (std::size_t i = 0; i < words.size() && drawn < counts.size(); ++i) {
      if (!bounded.accepts(words[i])) continue;
      Count& count = counts[bounded.below(words[i])];
      require(++count != 0, "a group was drawn more than 255 times");
      ++drawn;
    }
  }
}

void count_cells(const ResampleOptions& options, std::span<const Count> counts, std::span<std::uint32_t> weights) {
  std::fill(weights.begin(), weights.end(), 0U);
  const auto samples = static_cast<std::size_t>(options.offsets.back());
  const std::int32_t* const offsets = options.offsets.data();
  std::uint32_t* const weight = weights.data();
  for (std::size_t first = 0; first < options.cells.size(); first += samples) {
    const std::int32_t* const cells = options.cells.data() + first;
    for (std::size_t group = 0; group < counts.size(); ++group) {
      const std::int32_t begin = offsets[group], end = offsets[group + 1];
      const std::uint32_t drawn = counts[group];
      // Adding 0 is cheaper than a branch that nobody can foretell, unless it saves many.
      if (end - begin > 8 && drawn == 0) continue;
      for (std::int32_t i = begin; i < end; ++i) weight[cells[i]] += drawn;
    }
  }
}

}  // namespace

ResampleResult resample(const ResampleOptions& options, const std::atomic<bool>& cancelled) {
  check_options(options);
  const std::size_t groups = options.offsets.size() - 1;
  const auto width = static_cast<std::size_t>(options.cell_count);
  ResampleResult result{std::vector<double>(static_cast<std::size_t>(options.draws) * width)};
  if (groups == 0) return result;
  at::parallel_for(0, options.draws, 1, [&](std::int64_t first, std::int64_t last) {
    std::vector<Count> counts(groups);
    std::vector<std::uint32_t> weights(width);
    for (std::int64_t draw = first; draw < last; ++draw) {
      if (cancelled) throw Cancelled();
      draw_groups(static_cast<std::uint64_t>(options.seed), static_cast<std::uint32_t>(options.first_draw + draw),
                  counts);
      count_cells(options, counts, weights);
      std::copy(weights.begin(), weights.end(),
                result.weights.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(draw) * width));
    }
  });
  return result;
}

}  // namespace ehrjepa::solve
