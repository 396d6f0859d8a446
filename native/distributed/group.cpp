#include "distributed/group.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "core/rank_error.h"
#include "distributed/gloo.h"
#include "distributed/local_address.h"
#include "distributed/nccl.h"
#include "distributed/store.h"
#include "distributed/traffic.h"
#include "memory/transfer.h"

namespace ehrjepa::distributed {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// How often a wait looks whether it was cancelled or a rank failed.
constexpr auto kPoll = 20ms;

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000.0));
}

/// The first line of a message: gloo adds where in its source it was.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string what_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const c10::Error& thrown) {
    return first_line(thrown.what_without_backtrace());
  } catch (const std::exception& thrown) {
    return first_line(thrown.what());
  } catch (...) {
    return "an unknown exception";
  }
}

/// What another thread does and this one waits for; shared, for the wait may end first.
struct Outcome {
  std::mutex mutex;
  std::condition_variable wake;
  bool done = false;
  std::exception_ptr error;
  c10::intrusive_ptr<c10d::Backend> backend;

  void settle(std::exception_ptr with = nullptr) {
    {
      const std::lock_guard lock(mutex);
      done = true;
      error = std::move(with);
    }
    wake.notify_all();
  }
  bool wait() {
    std::unique_lock lock(mutex);
    return wake.wait_for(lock, kPoll, [this] { return done; });
  }
};

GlooDevice device_of(const GroupOptions& options, const std::vector<Card>& cards) {
  // PyTorch's own name for it.
  const char* const interface = std::getenv("GLOO_SOCKET_IFNAME");
  if (interface != nullptr && *interface != '\0') return {.address = {}, .interface = interface};
  const std::string address = address_towards(options.address);
  // A launcher may call the machine of rank 0 localhost on that machine alone.
  const bool one_host = std::ranges::all_of(cards, [&](const Card& card) { return card.host == cards[0].host; });
  if (is_loopback(address) && !one_host) return {};
  return {.address = address, .interface = {}};
}

}  // namespace

Group::Group(const GroupOptions& options, const std::atomic<bool>& cancelled)
    : options_(options), store_(open_store(options)) {
  const std::vector<Card> cards = [&] {
    try {
      return call_roll(*store_, options_, cancelled);
    } catch (const c10::Error& error) {
      throw RankError(
          "[ranks] all ranks must meet at " + options_.address + ":" + std::to_string(options_.port) +
          " but who serves the store there ended before they had: " + first_line(error.what_without_backtrace()));
    }
  }();
  watch_ = Watch::start(options_, connect_again(options_), cards);
  try {
    connect(cards, cancelled);
  } catch (...) {
    watch_->leave();
    throw;
  }
}

Group::~Group() { leave(); }

void Group::leave() {
  const bool ended = watch_->leave();
  if (left_) return;
  left_ = true;
  quiet_ = ended && !broken_;
  // What is still on its way belongs to gloo's threads, which an end of the group would wait for.
  if (broken_) {
    (void)backend_.release();
    (void)cards_.release();
  }
  cards_.reset();
  backend_.reset();
  broken_ = true;
}

void Group::connect(const std::vector<Card>& cards, const std::atomic<bool>& cancelled) {
  const auto outcome = std::make_shared<Outcome>();
  std::thread([outcome, store = store_, options = options_, device = device_of(options_, cards)] {
    try {
      auto backend = connect_gloo(store, static_cast<int>(options.rank), static_cast<int>(options.world_size), device,
                                  milliseconds(options.rendezvous_timeout));
      outcome->backend = std::move(backend);
      outcome->settle();
    } catch (...) {
      outcome->settle(std::current_exception());
    }
  }).detach();
  while (!outcome->wait()) {
    if (const auto failure = watch_->failure()) throw RankError(*failure);
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  }
  if (outcome->error) blame("the ranks could not be connected: " + what_of(outcome->error));
  backend_ = std::move(outcome->backend);
  // Connects when the first tensor of a card is sent.
  cards_ = make_nccl(store_, static_cast<int>(options_.rank), static_cast<int>(options_.world_size),
                     milliseconds(options_.collective_timeout) + 60s);
}

c10d::Backend& Group::backend_of(const at::Tensor& tensor) const {
  return tensor.is_cuda() && cards_ ? *cards_ : *backend_;
}

bool Group::is_staged(const at::Tensor& tensor) const {
  return !tensor.is_cpu() && &backend_of(tensor) != cards_.get();
}

at::Tensor Group::staged(const at::Tensor& tensor) const { return is_staged(tensor) ? tensor.to(at::kCPU) : tensor; }

void Group::count(Bytes Traffic::* collective, const Bytes& bytes, const at::Tensor& tensor) {
  const std::lock_guard lock(counting_);
  traffic_.*collective += bytes;
  if (is_staged(tensor)) traffic_.staged += bytes;
}

void Group::blame(const std::string& said) {
  broken_ = true;
  const auto deadline = Clock::now() + milliseconds(options_.silence_timeout) + 2s;
  while (Clock::now() < deadline) {
    if (const auto failure = watch_->failure()) throw RankError(*failure);
    std::this_thread::sleep_for(kPoll);
  }
  const std::string message =
      "[ranks] " + watch_->own_name() + " failed in a collective though all ranks give signs of life: " + said;
  watch_->fail(message);
  throw RankError(message);
}

c10::intrusive_ptr<c10d::Work> Group::begin(const Start& start) {
  if (const auto failure = watch_->failure()) {
    broken_ = true;
    throw RankError(*failure);
  }
  if (broken_) throw RankError("[ranks] the group of ranks has ended; nothing more can be computed together");
  watch_->enter();
  try {
    return start();
  } catch (const c10::Error& error) {
    blame(first_line(error.what_without_backtrace()));
  }
}

void Group::wait(const c10::intrusive_ptr<c10d::Work>& work, const std::atomic<bool>& cancelled) {
  const auto outcome = std::make_shared<Outcome>();
  work->getFuture()->addCallback([outcome](c10::ivalue::Future& future) {
    outcome->settle(future.hasError() ? future.exception_ptr() : nullptr);
  });
  const auto deadline = Clock::now() + milliseconds(options_.collective_timeout);
  // A card's work is settled when it is queued, and done later.
  const auto is_done = [&] {
    if (!outcome->wait()) return false;
    if (outcome->error || work->isCompleted()) return true;
    std::this_thread::sleep_for(100us);
    return false;
  };
  while (!is_done()) {
    if (const auto failure = watch_->failure()) {
      broken_ = true;
      throw RankError(*failure);
    }
    if (cancelled.load(std::memory_order_relaxed)) {
      broken_ = true;
      throw Cancelled();
    }
    if (Clock::now() < deadline) continue;
    broken_ = true;
    const std::string behind = watch_->behind();
    const std::string who = behind.empty() ? "no rank is behind" : behind + " did not come to it";
    const std::string message = "[ranks] all ranks must come to a collective within " +
                                seconds_text(options_.collective_timeout) + " but " + who +
                                "; it hangs or is slow: see where, or give a longer --collective-timeout";
    watch_->fail(message);
    throw RankError(message);
  }
  if (outcome->error) blame(what_of(outcome->error));
  // What this rank's card computes next comes behind it.
  work->wait();
}

at::Tensor Group::gather(const at::Tensor& own, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  std::vector<std::int64_t> sizes = own.sizes().vec();
  sizes.insert(sizes.begin(), size());
  if (own.numel() == 0) return at::empty(sizes, own.options());
  // As bytes: gloo does not know every dtype.
  at::Tensor input = staged(own.contiguous().flatten()).view(at::kByte);
  const at::Tensor output = at::empty({size() * own.numel()}, input.options().dtype(own.scalar_type()));
  at::Tensor bytes = output.view(at::kByte);
  c10d::AllgatherOptions options;
  options.timeout = milliseconds(options_.collective_timeout) + 60s;
  count(&Traffic::gather, bytes_of_gather(input.numel(), size()), own);
  wait(begin([&] { return backend_of(input)._allgather_base(bytes, input, options); }), cancelled);
  return output.view(sizes).to(own.device());
}

at::Tensor Group::gather_rows(const at::Tensor& own, const std::atomic<bool>& cancelled) {
  const at::Tensor counts = gather(at::full({1}, own.size(0), memory::on_host(at::kLong)), cancelled).flatten();
  const std::int64_t most = counts.max().item<std::int64_t>();
  std::vector<std::int64_t> sizes = own.sizes().vec();
  sizes[0] = most;
  at::Tensor padded = at::zeros(sizes, own.options());
  padded.narrow(0, 0, own.size(0)).copy_(own);
  const at::Tensor all = gather(padded, cancelled);
  std::vector<at::Tensor> parts;
  for (std::int64_t rank = 0; rank < size(); ++rank) {
    parts.push_back(all[rank].narrow(0, 0, counts[rank].item<std::int64_t>()));
  }
  return at::cat(parts);
}

std::vector<std::string> Group::gather_texts(const std::string& own, const std::atomic<bool>& cancelled) {
  const auto length = static_cast<std::int64_t>(own.size());
  const at::Tensor lengths = gather(at::full({1}, length, memory::on_host(at::kLong)), cancelled).flatten();
  at::Tensor padded =
      at::zeros({std::max<std::int64_t>(1, lengths.max().item<std::int64_t>())}, memory::on_host(at::kByte));
  std::memcpy(padded.data_ptr(), own.data(), own.size());
  const at::Tensor all = gather(padded, cancelled);
  std::vector<std::string> result;
  for (std::int64_t rank = 0; rank < size(); ++rank) {
    const auto* const text = reinterpret_cast<const char*>(all[rank].data_ptr<std::uint8_t>());
    result.emplace_back(text, static_cast<std::size_t>(lengths[rank].item<std::int64_t>()));
  }
  return result;
}

Group::Swap Group::start_swap(const at::Tensor& own, std::vector<std::int64_t> parts_out,
                              std::vector<std::int64_t> parts_in) {
  const at::NoGradGuard no_grad;
  std::int64_t total = 0;
  for (const std::int64_t part : parts_in) total += part;
  Swap swap{staged(own.contiguous()), {}, own.device(), {}};
  swap.all = at::empty({total}, swap.own.options());
  c10d::AllToAllOptions options;
  options.timeout = milliseconds(options_.collective_timeout) + 60s;
  const auto bytes_to_others = [&](const std::vector<std::int64_t>& parts, std::int64_t all) {
    return (all - parts[static_cast<std::size_t>(rank())]) * static_cast<std::int64_t>(own.element_size());
  };
  count(&Traffic::swap, {bytes_to_others(parts_out, own.numel()), bytes_to_others(parts_in, total)}, own);
  swap.work =
      begin([&] { return backend_of(swap.own).alltoall_base(swap.all, swap.own, parts_in, parts_out, options); });
  return swap;
}

at::Tensor Group::finish(const Swap& swap, const std::atomic<bool>& cancelled) {
  wait(swap.work, cancelled);
  return swap.all.to(swap.device);
}

Group::Spread Group::start_spread(const at::Tensor& tensor, std::int64_t from) {
  const at::NoGradGuard no_grad;
  const bool receives = from != rank();
  const at::Tensor flat = tensor.view({-1});
  const bool is_filled = receives && is_staged(flat);
  Spread spread{
      flat, is_filled ? at::empty(flat.sizes(), memory::on_host(flat.scalar_type())) : staged(flat), receives, {}};
  std::vector<at::Tensor> bytes{spread.sent.view(at::kByte)};
  c10d::BroadcastOptions options;
  options.rootRank = from;
  options.timeout = milliseconds(options_.collective_timeout) + 60s;
  count(&Traffic::spread, bytes_of_spread(bytes[0].numel(), from, rank(), size()), flat);
  spread.work = begin([&] { return backend_of(bytes[0]).broadcast(bytes, options); });
  return spread;
}

void Group::finish(const Spread& spread, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  wait(spread.work, cancelled);
  if (!spread.receives || spread.sent.is_same(spread.tensor)) return;
  spread.tensor.copy_(spread.sent);
}

}  // namespace ehrjepa::distributed
