#include "distributed/roll_call.h"

#include <unistd.h>

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
  write_failure(store, message);
  throw RankError(message);
}

}  // namespace

std::string Card::name(std::size_t rank) const {
  return "rank " + std::to_string(rank) + " (process " + std::to_string(process) + " on " + host + ")";
}

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

std::vector<Card> call_roll(c10d::Store& store, const GroupOptions& options, const std::atomic<bool>& cancelled) {
  const auto size = static_cast<std::size_t>(options.world_size);
  const auto own = static_cast<std::size_t>(options.rank);
  const Card own_card{host_name(), process_space(), getpid(), options.serves_store};
  const std::string expected = put_first(store, "world_size", std::to_string(options.world_size));
  if (expected != std::to_string(options.world_size)) {
    fail(store, "[ranks] WORLD_SIZE must be the same for all ranks but is " + std::to_string(options.world_size) +
                    " for " + own_card.name(own) + " and " + expected + " for another");
  }
  const std::string card = put_first(store, key_of(own, "card"), written(own_card));
  if (card != written(own_card)) {
    fail(store, "[ranks] RANK must be one process's own but " + std::to_string(own) + " is both " +
                    card_of(card).name(own) + " and process " + std::to_string(getpid()) + " on " + own_card.host);
  }
  const auto deadline = Clock::now() + std::chrono::duration<double>(options.rendezvous_timeout);
  std::vector<Card> cards(size);
  std::vector<bool> here(size, false);
  for (std::size_t arrived = 0;;) {
    for (std::size_t rank = 0; rank < size; ++rank) {
      if (here[rank] || !store.check({key_of(rank, "card")})) continue;
      cards[rank] = card_of(take(store, key_of(rank, "card")));
      here[rank] = true;
      ++arrived;
    }
    if (const auto failure = written_failure(store)) throw RankError(*failure);
    if (arrived == size) return cards;
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
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace ehrjepa::distributed
