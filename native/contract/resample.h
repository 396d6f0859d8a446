#pragma once
#include <cstdint>
#include <vector>

#include "contract/fields.h"

namespace ehrjepa {

/// Bootstrap resamples of groups of samples, such as patients; see solve/resample.h.
struct ResampleOptions {
  std::vector<std::int32_t>
      offsets;                      ///< (groups + 1), from 0: where the samples of each start; they stand side by side
  std::vector<std::int32_t> cells;  ///< (tables x samples), 0 .. cell_count - 1: where each table counts each sample
  std::int64_t cell_count = 0;
  std::int64_t seed = 0;
  std::int64_t first_draw = 0;
  std::int64_t draws = 0;
};
template <>
struct Fields<ResampleOptions> {
  static constexpr auto list =
      std::tuple(field("offsets", &ResampleOptions::offsets), field("cells", &ResampleOptions::cells),
                 field("cell_count", &ResampleOptions::cell_count), field("seed", &ResampleOptions::seed),
                 field("first_draw", &ResampleOptions::first_draw), field("draws", &ResampleOptions::draws));
};

struct ResampleResult {
  std::vector<double> weights;  ///< (draws x cell_count), how often the samples of each cell were drawn
};
template <>
struct Fields<ResampleResult> {
  static constexpr auto list = std::tuple(field("weights", &ResampleResult::weights));
};

}  // namespace ehrjepa
