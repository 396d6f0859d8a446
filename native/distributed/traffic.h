#pragma once
#include <cstdint>

#include "contract/traffic.h"

namespace ehrjepa::distributed {

/// Of one rank in a collective of gloo's over `bytes` of every rank, or of the one that has them.
Bytes bytes_of_gather(std::int64_t bytes, std::int64_t ranks);
Bytes bytes_of_spread(std::int64_t bytes, std::int64_t from, std::int64_t rank, std::int64_t ranks);

}  // namespace ehrjepa::distributed
