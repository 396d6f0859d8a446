#include "distributed/watch.h"

#include <cerrno>
#include <cmath>
#include <csignal>
#include <exception>
#include <fstream>
#include <thread>
#include <utility>

#include "distributed/store.h"

namespace ehrjepa::distributed {
namespace {

using namespace std::chrono_literals;

constexpr auto kBeat = 500ms;
// How long who serves the store waits for ranks that have not said that they leave.
constexpr auto kFarewell = 10s;
constexpr auto kFarewellAfterFailure = 3s;

/// Whether a process of this machine has ended, waited for by its parent or not.
bool has_ended(std::int64_t process) {
  if (kill(static_cast<pid_t>(process), 0) != 0) return errno == ESRCH;
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return false;
  const std::size_t name = text.rfind(')');  // of the program, which may hold anything
  return name != std::string::npos && name + 2 < text.size() && (text[name + 2] == 'Z' || text[name + 2] == 'X');
}

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000.0));
}

}  // namespace

std::shared_ptr<Watch> Watch::start(const GroupOptions& options, c10::intrusive_ptr<c10d::Store> store,
                                    std::vector<Card> cards) {
  store->setTimeout(milliseconds(options.silence_timeout));
  const std::shared_ptr<Watch> watch(new Watch(options, std::move(store), std::move(cards)));
  // Left to itself: where the store never answers, nobody waits for the thread, which keeps what it uses.
  std::thread([watch] { watch->run(); }).detach();
  return watch;
}

Watch::Watch(const GroupOptions& options, c10::intrusive_ptr<c10d::Store> store, std::vector<Card> cards)
    : options_(options),
      store_(std::move(store)),
      cards_(std::move(cards)),
      lives_(cards_.size(), {.beat = {}, .changed = Clock::now()}),
      looked_(Clock::now()) {}

std::string Watch::server() const {
  return cards_[0].serves_store ? cards_[0].name(0) : "the launcher at " + options_.address;
}

std::optional<std::string> Watch::failure() const {
  const std::lock_guard lock(mutex_);
  if (failure_) return failure_;
  if (const auto pause = own_pause()) return pause;
  if (ended_ || Clock::now() - looked_ < milliseconds(options_.silence_timeout)) return std::nullopt;
  return "[ranks] " + server() + " has given no sign of life for " + seconds_text(options_.silence_timeout) +
         ": stopped, or cut off from the network";
}

std::optional<std::string> Watch::own_pause() const {
  if (!paused_ || Clock::now() - *paused_ < milliseconds(options_.silence_timeout)) return std::nullopt;
  const double seconds = std::chrono::duration<double>(Clock::now() - *paused_).count();
  return "[ranks] " + own_name() + " was stopped for " + seconds_text(std::round(seconds)) +
         " itself: the others have given it up";
}

void Watch::fail(const std::string& message) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) own_failure_ = message;
  }
  wake_.notify_all();
}

std::string Watch::behind() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (std::size_t rank = 0; rank < lives_.size(); ++rank) {
    if (static_cast<std::int64_t>(rank) != options_.rank && lives_[rank].entered < entered_) {
      names.push_back(cards_[rank].name(rank));
    }
  }
  return listed(names);
}

bool Watch::leave() {
  std::unique_lock lock(mutex_);
  if (!leaving_) patience_ = Clock::now() + (failure_ || own_failure_ ? kFarewellAfterFailure : kFarewell);
  leaving_ = true;
  wake_.notify_all();
  return wake_.wait_for(lock, options_.serves_store ? kFarewell + 2s : 2s, [this] { return ended_; });
}

void Watch::run() {
  bool over = false;
  try {
    while (!over) {
      over = look();
      std::unique_lock lock(mutex_);
      if (leaving_ && !over) {
        lock.unlock();
        std::this_thread::sleep_for(20ms);
      } else if (!over) {
        paused_ = Clock::now();
        wake_.wait_for(lock, kBeat, [this] { return leaving_ || own_failure_; });
        if (const auto pause = own_pause(); pause && !failure_) failure_ = pause;
        paused_.reset();
      }
    }
  } catch (const std::exception&) {
    const std::lock_guard lock(mutex_);
    if (!failure_ && !leaving_) {
      failure_ = "[ranks] " + server() + " ended: the store that it serves is gone";
    }
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  wake_.notify_all();
}

bool Watch::look() {
  const auto own = static_cast<std::size_t>(options_.rank);
  std::optional<std::string> own_failure;
  bool leaving = false;
  {
    const std::lock_guard lock(mutex_);
    own_failure = std::exchange(own_failure_, std::nullopt);
    leaving = leaving_;
  }
  if (own_failure) write_failure(*store_, *own_failure);
  put(*store_, key_of(own, "beat"),
      std::to_string(++beats_) + " " + std::to_string(entered_) + (leaving ? " left" : ""));
  if (leaving && !options_.serves_store) return true;

  for (std::size_t rank = 0; rank < cards_.size(); ++rank) {
    if (rank == own || !store_->check({key_of(rank, "beat")})) continue;
    const std::string beat = take(*store_, key_of(rank, "beat"));
    const std::lock_guard lock(mutex_);
    Life& life = lives_[rank];
    if (beat == life.beat) continue;
    life.beat = beat;
    life.changed = Clock::now();
    life.entered = std::stoll(beat.substr(beat.find(' ') + 1));
    life.left = beat.ends_with("left");
  }
  std::optional<std::string> failure = written_failure(*store_);
  bool all_gone = true;
  for (std::size_t rank = 0; rank < cards_.size(); ++rank) {
    if (rank == own || lives_[rank].left) continue;
    const auto silent = Clock::now() - lives_[rank].changed;
    const bool dead = is_dead(rank);
    if (!dead && silent < milliseconds(options_.silence_timeout)) {
      all_gone = false;
      continue;
    }
    if (failure || leaving) continue;
    write_failure(*store_, "[ranks] " + cards_[rank].name(rank) +
                               (dead ? " ended without a word: killed, or out of memory"
                                     : " has given no sign of life for " + seconds_text(options_.silence_timeout) +
                                           ": stopped, or cut off from the network"));
    failure = written_failure(*store_);
  }
  const std::lock_guard lock(mutex_);
  looked_ = Clock::now();
  if (failure && !failure_) {
    failure_ = failure;
    wake_.notify_all();
  }
  return leaving && (all_gone || Clock::now() > patience_);
}

bool Watch::is_dead(std::size_t rank) const {
  const Card& card = cards_[rank];
  const Card& own = cards_[static_cast<std::size_t>(options_.rank)];
  if (card.host != own.host || card.space != own.space || card.space.empty() || !has_ended(card.process)) return false;
  // It may have said that it leaves just before.
  const std::string beat = key_of(rank, "beat");
  return !store_->check({beat}) || !take(*store_, beat).ends_with("left");
}

}  // namespace ehrjepa::distributed
