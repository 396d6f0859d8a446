// What the kernels that hold a tile of queries share: which keys it sees, tile by tile, and how they come.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "ops/attention/tile.h"
#include "ops/attention/work_list.h"

namespace ehrjepa::kernels {

/// The tiles of keys of a tile of queries: those of the context, then its own.
struct QueryWalk {
  QueryTile of;
  int context_tiles, tiles;

  __device__ explicit QueryWalk(const QueryTile& tile)
      : of(tile),
        context_tiles((tile.context_end - tile.context_begin + key_tile_rows - 1) / key_tile_rows),
        tiles(context_tiles + (tile.own_end - tile.own_begin + key_tile_rows - 1) / key_tile_rows) {}

  __device__ bool in_context(int i) const { return i < context_tiles; }
  __device__ int first_key(int i) const {
    return in_context(i) ? of.context_begin + i * key_tile_rows : of.own_begin + (i - context_tiles) * key_tile_rows;
  }
  __device__ int keys(int i) const {
    return min(key_tile_rows, (in_context(i) ? of.context_end : of.own_end) - first_key(i));
  }
  /// Of a query at `position`, -1 for a row that is not there.
  __device__ Seen seen(int i, int position) const {
    if (position < 0) return {0, 0};
    if (in_context(i)) return {of.context_begin, of.context_end};
    return {of.isolated != 0 ? position : of.own_begin, position + 1};
  }
  /// Of row `row` of the tile.
  __device__ int position(const std::int32_t* positions, int row) const {
    if (row >= of.count) return -1;
    return positions == nullptr ? of.begin + row : positions[of.begin + row];
  }
};

/// The keys or the values of the group that a query head belongs to.
template <int size>
struct KeyRows {
  const __nv_bfloat16* rows;
  std::int64_t stride;

  /// @param all  (keys, key_heads, size)
  __device__ KeyRows(const void* all, std::int64_t heads, std::int64_t key_heads, int head)
      : rows(static_cast<const __nv_bfloat16*>(all) +
             head / (static_cast<int>(heads) / static_cast<int>(key_heads)) * size),
        stride(key_heads * size) {}

  /// Issues copies of tile `i` of a walk, a group of their own.
  __device__ void bring(const Tile<size>& to, const QueryWalk& walk, int i) const {
    to.template bring<key_tile_rows>(rows + walk.first_key(i) * stride, stride, walk.keys(i));
    commit_copies();
  }
};

}  // namespace ehrjepa::kernels
