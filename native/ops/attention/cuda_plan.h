#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "ops/attention/attention.h"
#include "ops/attention/work_list.h"

namespace ehrjepa::ops::attention_cuda {

/// What the blocks of the kernels work on; worked out on the host, which knows the layout.
struct Plan {
  std::vector<kernels::QueryTile> query_tiles;
  std::vector<kernels::KeyTile> key_tiles;  ///< every key row once, whether anybody sees it or not
  std::vector<kernels::Visit> visits;
};

/// @param rows  as of `attention`.
Plan plan_of(const AttentionLayout& layout, const std::optional<std::vector<std::int64_t>>& rows);

}  // namespace ehrjepa::ops::attention_cuda
