#include "distributed/traffic.h"

namespace ehrjepa::distributed {

Bytes bytes_of_gather(std::int64_t bytes, std::int64_t ranks) { return {bytes * (ranks - 1), bytes * (ranks - 1)}; }

Bytes bytes_of_spread(std::int64_t bytes, std::int64_t from, std::int64_t rank, std::int64_t ranks) {
  // In each round every rank that has the bytes gives them to one that does not: gloo/broadcast.cc.
  const std::int64_t place = (rank - from + ranks) % ranks;
  Bytes result{0, place == 0 ? 0 : bytes};
  for (std::int64_t holders = 1; holders < ranks; holders *= 2) {
    if (place < holders && place + holders < ranks) result.sent += bytes;
  }
  return result;
}

}  // namespace ehrjepa::distributed
