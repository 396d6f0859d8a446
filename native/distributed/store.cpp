#include "distributed/store.h"

#include <c10/util/Exception.h>
#include <c10/util/Logging.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <future>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>
#include <vector>

#include "core/rank_error.h"
#include "distributed/roll_call.h"

C10_DECLARE_int(caffe2_log_level);

namespace ehrjepa::distributed {
namespace {

std::vector<std::uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }
std::string text_of(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

/// The store; something else that listens there and never answers is not waited for.
c10::intrusive_ptr<c10d::Store> connected(const std::string& address, const c10d::TCPStoreOptions& options) {
  using Result = c10::intrusive_ptr<c10d::Store>;
  if (options.isServer) return c10::make_intrusive<c10d::TCPStore>(address, options);
  std::packaged_task<Result()> task([=]() -> Result { return c10::make_intrusive<c10d::TCPStore>(address, options); });
  std::future<Result> result = task.get_future();
  std::thread(std::move(task)).detach();
  // A store answers at once.
  const auto longest = std::min<std::chrono::milliseconds>(options.timeout, std::chrono::seconds(20));
  if (result.wait_for(longest) == std::future_status::ready) return result.get();
  C10_THROW_ERROR(DistStoreError, "what listens there does not answer as a store does");
}

c10::intrusive_ptr<c10d::Store> open(const GroupOptions& options, bool serves);

/// Why this process cannot serve the store at its port where another rank 0 does, which is told so too: else it would
/// wait for ranks that have ended. Ranks that have met are left alone. Empty where something else listens there.
std::string other_server(GroupOptions options, const std::string& place) {
  options.rendezvous_timeout = 2.0;
  try {
    const auto store = open(options, false);
    const auto card = card_in(*store, 0);
    if (!card) return "";
    const std::string why =
        "[ranks] RANK must be one process's own but " + card->name(0) + " serves " + place + " already, and " +
        own_card(options).name(0) +
        " was to serve it too; give each process its number, or another run a MASTER_PORT of its own";
    fail_roll(*store, why);
    return why;
  } catch (const std::exception&) {
    return "";
  }
}

c10::intrusive_ptr<c10d::Store> open(const GroupOptions& options, bool serves) {
  // Its warnings of every attempt to connect would come before the one error that says what is wrong.
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = 3;
  c10d::TCPStoreOptions store;
  store.port = static_cast<std::uint16_t>(options.port);
  store.isServer = serves;
  store.waitWorkers = false;
  store.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(options.rendezvous_timeout * 1000.0));
  const std::string place = options.address + ":" + std::to_string(options.port);
  try {
    return c10::make_intrusive<c10d::PrefixStore>(options.prefix, connected(options.address, store));
  } catch (const c10::Error& error) {
    const std::string why = error.what_without_backtrace();
    if (why.find("EADDRINUSE") != std::string::npos || why.find("already in use") != std::string::npos) {
      const std::string other = serves ? other_server(options, place) : "";
      if (!other.empty()) throw RankError(other);
      throw RankError("[ranks] MASTER_PORT must be free on the machine of rank 0 but " + std::to_string(options.port) +
                      " is in use; choose another, the same for all ranks");
    }
    throw RankError("[ranks] the ranks must meet at " + place + " (MASTER_ADDR, MASTER_PORT) but rank " +
                    std::to_string(options.rank) + " found no store there within " +
                    seconds_text(options.rendezvous_timeout) + ": " + why.substr(0, why.find('\n')));
  }
}

}  // namespace

c10::intrusive_ptr<c10d::Store> open_store(const GroupOptions& options) { return open(options, options.serves_store); }

c10::intrusive_ptr<c10d::Store> connect_again(const GroupOptions& options) { return open(options, false); }

void put(c10d::Store& store, const std::string& key, const std::string& text) { store.set(key, bytes_of(text)); }

std::string take(c10d::Store& store, const std::string& key) { return text_of(store.get(key)); }

std::string put_first(c10d::Store& store, const std::string& key, const std::string& text) {
  return text_of(store.compareSet(key, {}, bytes_of(text)));
}

}  // namespace ehrjepa::distributed
