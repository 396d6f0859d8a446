#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "contract/ranks.h"

namespace ehrjepa::distributed {

/// Which process a rank is.
struct Card {
  std::string host;
  std::string space;  ///< of process numbers: processes of one space see each other
  std::int64_t process = 0;
  bool serves_store = false;

  /// "rank 2 (process 77 on node-3)".
  std::string name(std::size_t rank) const;
};

/// Of this process.
Card own_card(const GroupOptions& options);

/// "rank/2/card".
std::string key_of(std::size_t rank, const char* what);

/// "1.5 s".
std::string seconds_text(double seconds);

/// "a, b and c".
std::string listed(const std::vector<std::string>& names);

/// The failure that any rank found first and wrote down for all.
std::optional<std::string> written_failure(c10d::Store& store);
void write_failure(c10d::Store& store, const std::string& message);
/// {@link write_failure}, but those who have met are left alone.
void fail_roll(c10d::Store& store, const std::string& message);

/// Waits until every rank has come to the store. @return their cards.
/// @throws RankError for a rank that is missing, there twice, at odds about how many they are, or that has told why it
/// does not come; Cancelled. Who serves the store has then waited some seconds for the others to hear of it.
std::vector<Card> call_roll(c10d::Store& store, const GroupOptions& options, const std::atomic<bool>& cancelled);

/// The process that has come as a rank; absent before.
std::optional<Card> card_in(c10d::Store& store, std::size_t rank);

/// Tells the others why this process does not come. Who serves the store waits until they have heard it, or some
/// seconds. Ranks that have met without it are left alone.
/// @param options  its rank is -1 where it is not known.
void report_failure(const GroupOptions& options, const std::string& why, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::distributed
