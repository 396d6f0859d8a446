#pragma once
#include <cstdint>
#include <string>

#include "contract/fields.h"
#include "contract/names.h"

namespace ehrjepa {

/// How a process joins others that train the same model. Times are in seconds.
struct GroupOptions {
  std::int64_t rank = 0;
  std::int64_t world_size = 1;
  std::string address;  ///< of the store at which the ranks meet
  std::int64_t port = 0;
  bool serves_store = false;          ///< rank 0's part, unless the launcher serves it
  std::string prefix;                 ///< of the store's keys: an attempt does not read what an earlier one left
  double rendezvous_timeout = 300.0;  ///< until all ranks must have come
  double collective_timeout = 600.0;  ///< until all ranks must have come to a collective
  double silence_timeout = 15.0;      ///< after which a rank that gives no sign of life counts as dead
};
template <>
struct Fields<GroupOptions> {
  static constexpr auto list =
      std::tuple(field("rank", &GroupOptions::rank), field("world_size", &GroupOptions::world_size),
                 field("address", &GroupOptions::address), field("port", &GroupOptions::port),
                 field("serves_store", &GroupOptions::serves_store), field("prefix", &GroupOptions::prefix),
                 field("rendezvous_timeout", &GroupOptions::rendezvous_timeout),
                 field("collective_timeout", &GroupOptions::collective_timeout),
                 field("silence_timeout", &GroupOptions::silence_timeout));
};

/// What of the training state each rank has. Results are the same to the bit.
enum class ParallelKind {
  kDdp,    ///< all of it
  kZero1,  ///< moments and EMA of its own parameters alone
  kZero2,  ///< and their gradients alone, where a rank computes one batch of an update
  kZero3,  ///< and the parameters themselves, those of the encoder; a step gathers each block while it needs it
};
template <>
struct Names<ParallelKind> {
  static constexpr Named<ParallelKind> table[] = {{"ddp", ParallelKind::kDdp},
                                                  {"zero1", ParallelKind::kZero1},
                                                  {"zero2", ParallelKind::kZero2},
                                                  {"zero3", ParallelKind::kZero3}};
};

/// An update is the sum over `total` shards of its batch; a process computes `count` of them, from `first` on.
struct ShardRange {
  std::int64_t first = 0;
  std::int64_t count = 1;
  std::int64_t total = 1;

  friend bool operator==(const ShardRange&, const ShardRange&) = default;
};
template <>
struct Fields<ShardRange> {
  static constexpr auto list = std::tuple(field("first", &ShardRange::first), field("count", &ShardRange::count),
                                          field("total", &ShardRange::total));
};

}  // namespace ehrjepa
