#pragma once
#include <cstdint>
#include <vector>

namespace ehrjepa::kernels {

/// Query rows that one block of a kernel works on, and the keys that they see: a context, all of it, and rows of their
/// own segment up to themselves.
struct QueryTile {
  std::int32_t begin, count;  ///< rows of q
  std::int32_t context_begin, context_end;
  std::int32_t own_begin, own_end;  ///< keys that any of the rows sees
  std::int32_t isolated;            ///< 1: of its segment a row sees itself alone
};

enum class Sight : std::int32_t {
  kContext,   ///< keys [begin, end)
  kCausal,    ///< keys up to the query
  kIsolated,  ///< the query itself
};

/// Query rows that see some keys of a key tile, all by one rule.
struct Visit {
  std::int32_t begin, end;  ///< rows of q
  Sight sight;
  std::int32_t context_begin, context_end;
};

/// Keys that one block works on, all of one segment, and who sees them.
struct KeyTile {
  std::int32_t begin, count;
  std::int32_t first_visit, last_visit;  ///< [first, last) of the visits
};

constexpr int query_tile_rows = 64, key_tile_rows = 64;

}  // namespace ehrjepa::kernels
