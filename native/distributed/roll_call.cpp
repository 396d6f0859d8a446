#include "distributed/roll_call.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/rank_error.h"
#include "distributed/local_address.h"
#include "distributed/store.h"

namespace ehrjepa::distributed {
namespace {

using Clock = std::chrono::steady_clock;
constexpr const char* kFailure = "failure";
constexpr const char* kMet = "met";
constexpr auto kPause = std::chrono::milliseconds(20);
// How long who serves the store stays after a failure: for ranks that have come, and for those that may be on their
// way.
constexpr auto kParting = std::chrono::seconds(3);
constexpr auto kLateParting = std::chrono::seconds(10);

/// Of machine and namespace; empty where the system tells neither.
std::string process_space() {
  std::array<char, 64> text{};
  const ssize_t length = readlink("/proc/self/ns/pid", text.data(), text.size());
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return length > 0 && !boot.empty() ? boot + " " + std::string(text.data(), static_cast<std::size_t>(length)) : "";
}

std::string written(const Card& card) {
  return card.host + "\n" + card.space + "\n" + std::to_string(card.process) + "\n" + (card.serves_store ? "1" : "0");
}

Card card_of(const std::string& text) {
  std::istringstream lines(text);
  Card card;
  std::string process;
  std::getline(lines, card.host);
  std::getline(lines, card.space);
  std::getline(lines, process);
  card.process = std::stoll(process);
  std::getline(lines, process);
  card.serves_store = process == "1";
  return card;
}

[[noreturn]] void fail(c10d::Store& store, const std::string& message) {
  fail_roll(store, message);
  throw RankError(message);
}

/// Says that this rank has heard of the failure; who serves the store waits for the others.
void part(c10d::Store& store, const GroupOptions& options, std::chrono::seconds longest,
          const std::atomic<bool>& cancelled) {
  if (options.rank >= 0) put_first(store, key_of(static_cast<std::size_t>(options.rank), "heard"), "1");
  if (!options.serves_store) return;
  const auto begin = Clock::now();
  const auto is_waited_for = [&](std::size_t rank) {
    if (store.check({key_of(rank, "heard")})) return false;
    return Clock::now() - begin < (store.check({key_of(rank, "card")}) ? std::min(kParting, longest) : longest);
  };
  for (std::size_t rank = 0; rank < static_cast<std::size_t>(options.world_size); ++rank) {
    while (is_waited_for(rank) && !cancelled.load(std::memory_order_relaxed)) std::this_thread::sleep_for(kPause);
  }
}

std::vector<Card> cards_of_all(c10d::Store& store, const GroupOptions& options, const std::atomic<bool>& cancelled);

}  // namespace

std::string Card::name(std::size_t rank) const {
  return "rank " + std::to_string(rank) + " (process " + std::to_string(process) + " on " + host + ")";
}

Card own_card(const GroupOptions& options) { return {host_name(), process_space(), getpid(), options.serves_store}; }

std::string key_of(std::size_t rank, const char* what) { return "rank/" + std::to_string(rank) + "/" + what; }

std::string seconds_text(double seconds) {
  std::ostringstream text;
  text << seconds << " s";
  return text.str();
}

std::string listed(const std::vector<std::string>& names) {
  std::string result;
  for (std::size_t i = 0; i < names.size(); ++i) {
    result += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  }
  return result;
}

std::optional<std::string> written_failure(c10d::Store& store) {
  return store.check({kFailure}) ? std::optional(take(store, kFailure)) : std::nullopt;
}

void write_failure(c10d::Store& store, const std::string& message) { put_first(store, kFailure, message); }

void fail_roll(c10d::Store& store, const std::string& message) {
  if (!store.check({kMet})) write_failure(store, message);
}

std::optional<Card> card_in(c10d::Store& store, std::size_t rank) {
  const std::string key = key_of(rank, "card");
  return store.check({key}) ? std::optional(card_of(take(store, key))) : std::nullopt;
}

std::vector<Card> call_roll(c10d::Store& store, const GroupOptions& options, const std::atomic<bool>& cancelled) {
  const auto begin = Clock::now();
  try {
    return cards_of_all(store, options, cancelled);
  } catch (const RankError&) {
    // Ranks that had all the time are not on their way.
    const bool in_time = Clock::now() - begin < std::chrono::duration<double>(options.rendezvous_timeout);
    part(store, options, in_time ? kLateParting : kParting, cancelled);
    throw;
  }
}

void report_failure(const GroupOptions& options, const std::string& why, const std::atomic<bool>& cancelled) {
  const auto store = open_store(options);
  const Card card = own_card(options);
  const std::string name = options.rank >= 0 ? card.name(static_cast<std::size_t>(options.rank))
                                             : "a process without a rank (process " + std::to_string(card.process) +
                                                   " on " + card.host + ")";
  fail_roll(*store, "[ranks] " + name + " failed before it joined the others: " + why);
  part(*store, options, kLateParting, cancelled);
}

namespace {

std::vector<Card> cards_of_all(c10d::Store& store, const GroupOptions& options, const std::atomic<bool>& cancelled) {
  const auto size = static_cast<std::size_t>(options.world_size);
  const auto own = static_cast<std::size_t>(options.rank);
  const Card card_here = own_card(options);
  const std::string expected = put_first(store, "world_size", std::to_string(options.world_size));
  if (expected != std::to_string(options.world_size)) {
    fail(store, "[ranks] WORLD_SIZE must be the same for all ranks but is " + std::to_string(options.world_size) +
                    " for " + card_here.name(own) + " and " + expected + " for another");
  }
  const std::string card = put_first(store, key_of(own, "card"), written(card_here));
  if (card != written(card_here)) {
    fail(store, "[ranks] RANK must be one process's own but " + std::to_string(own) + " is both " +
                    card_of(card).name(own) + " and process " + std::to_string(getpid()) + " on " + card_here.host);
  }
  const auto deadline = Clock::now() + std::chrono::duration<double>(options.rendezvous_timeout);
  std::vector<Card> cards(size);
  std::vector<bool> here(size, false);
  for (std::size_t arrived = 0;;) {
    for (std::size_t rank = 0; rank < size; ++rank) {
      const auto card_of_rank = here[rank] ? std::nullopt : card_in(store, rank);
      if (!card_of_rank) continue;
      cards[rank] = *card_of_rank;
      here[rank] = true;
      ++arrived;
    }
    if (const auto failure = written_failure(store)) throw RankError(*failure);
    if (arrived == size) {
      put_first(store, kMet, "1");
      return cards;
    }
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    if (Clock::now() > deadline) {
      std::vector<std::string> missing;
      for (std::size_t rank = 0; rank < size; ++rank) {
        if (!here[rank]) missing.push_back("rank " + std::to_string(rank));
      }
      fail(store, "[ranks] all " + std::to_string(size) + " ranks must come within " +
                      seconds_text(options.rendezvous_timeout) + " but " + listed(missing) +
                      " did not; look at what ended them, or give a longer --rendezvous-timeout");
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace
}  // namespace ehrjepa::distributed
