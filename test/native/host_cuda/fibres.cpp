#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cuda_runtime.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host_cuda {
namespace {

constexpr std::size_t stack_bytes = 64 * 1024;
constexpr unsigned largest_block = 1024;

enum class State { kReady, kAtBarrier, kAtExchange, kDone };

/// Runs one thread of block after block. It is entered by its context once; later switches are jumps, which need no
/// system call.
struct Fibre {
  ucontext_t context;
  jmp_buf position;
  bool entered = false;
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(stack_bytes);
  State state = State::kDone;
  unsigned exchanges = 0;  ///< made so far; its parity picks the buffer
};

struct Warp {
  // Two buffers: a lane can be one exchange ahead of a lane that has yet to read, never two.
  std::array<std::array<std::uint32_t, 32>, 2> bits;
};

std::vector<std::unique_ptr<Fibre>> fibres;
std::vector<Warp> warps;
jmp_buf scheduler;
unsigned running = 0;
const std::function<void()>* body = nullptr;
std::exception_ptr failure;
std::mt19937_64 schedule;
bool run_ahead = false;

void leave(State state) {
  Fibre& fibre = *fibres[running];
  fibre.state = state;
  if (_setjmp(fibre.position) == 0) _longjmp(scheduler, 1);
}

void fibre_main() {
  for (;;) {
    try {
      (*body)();
    } catch (...) {
      failure = std::current_exception();
    }
    leave(State::kDone);
  }
}

void resume(unsigned thread) {
  running = thread;
  threadIdx = dim3(thread);
  if (_setjmp(scheduler) != 0) return;
  Fibre& fibre = *fibres[thread];
  if (fibre.entered) _longjmp(fibre.position, 1);
  fibre.entered = true;
  setcontext(&fibre.context);
}

void add_fibre() {
  auto fibre = std::make_unique<Fibre>();
  getcontext(&fibre->context);
  fibre->context.uc_stack.ss_sp = fibre->stack.get();
  fibre->context.uc_stack.ss_size = stack_bytes;
  fibre->context.uc_link = nullptr;
  makecontext(&fibre->context, &fibre_main, 0);
  fibres.push_back(std::move(fibre));
}

/// Lets the lanes of a warp go on when all of them have come to the same exchange.
bool release_warp(unsigned first) {
  for (unsigned t = first; t < first + 32; ++t) {
    if (fibres[t]->state != State::kAtExchange || fibres[t]->exchanges != fibres[first]->exchanges) return false;
  }
  for (unsigned t = first; t < first + 32; ++t) fibres[t]->state = State::kReady;
  return true;
}

/// Lets the block go on when all have come to a barrier. Threads that have ended count as arrived, as on the device.
bool release_block(unsigned threads) {
  bool waiting = false;
  for (unsigned t = 0; t < threads; ++t) {
    if (fibres[t]->state == State::kReady || fibres[t]->state == State::kAtExchange) return false;
    waiting = waiting || fibres[t]->state == State::kAtBarrier;
  }
  for (unsigned t = 0; t < threads; ++t) {
    if (fibres[t]->state == State::kAtBarrier) fibres[t]->state = State::kReady;
  }
  return waiting;
}

void run_warp(unsigned first) {
  for (unsigned t = first; t < first + 32; ++t) {
    if (fibres[t]->state == State::kReady) resume(t);
    if (!failure) continue;
    fibres.clear();
    std::rethrow_exception(std::exchange(failure, nullptr));
  }
}

void run_block(unsigned threads) {
  for (unsigned t = 0; t < threads; ++t) {
    fibres[t]->state = State::kReady;
    fibres[t]->exchanges = 0;
  }
  std::vector<unsigned> order(threads / 32);
  std::iota(order.begin(), order.end(), 0u);
  for (;;) {
    std::shuffle(order.begin(), order.end(), schedule);
    bool released = false;
    for (const unsigned warp : order) {
      run_warp(warp * 32);
      // In every other schedule a warp runs ahead to the next barrier before the others start: the largest skew there
      // can be, in which a read that a barrier should have kept apart from a later write comes too late.
      while (release_warp(warp * 32)) {
        released = true;
        if (!run_ahead) break;
        run_warp(warp * 32);
      }
    }
    if (release_block(threads) || released) continue;
    const auto done = [](const std::unique_ptr<Fibre>& fibre) { return fibre->state == State::kDone; };
    if (std::all_of(fibres.begin(), fibres.begin() + threads, done)) return;
    fibres.clear();  // they stand in the middle of the kernel
    throw std::runtime_error("[host_cuda] deadlock in block " + std::to_string(blockIdx.x) +
                             ": threads wait at a barrier or an exchange that not all reach");
  }
}

}  // namespace

void synchronize_block() { leave(State::kAtBarrier); }

std::uint32_t exchange(unsigned mask, std::uint32_t bits, unsigned source) {
  if (mask != 0xffffffffu) throw std::runtime_error("[host_cuda] only exchanges of whole warps are known");
  Fibre& fibre = *fibres[running];
  auto& buffer = warps[running / 32].bits[fibre.exchanges++ % 2];
  buffer[running % 32] = bits;
  leave(State::kAtExchange);
  return buffer[source];
}

int run_grid(dim3 grid, dim3 block, const std::function<void()>& thread) {
  const bool accepted = grid.x > 0 && grid.x <= 0x7fffffffu && grid.y == 1 && grid.z == 1 && block.x > 0 &&
                        block.x <= largest_block && block.x % 32 == 0 && block.y == 1 && block.z == 1;
  if (!accepted) return 1;
  while (fibres.size() < block.x) add_fibre();
  warps.resize(largest_block / 32);
  gridDim = grid;
  blockDim = block;
  body = &thread;
  std::vector<unsigned> blocks(grid.x);
  std::iota(blocks.begin(), blocks.end(), 0u);
  std::shuffle(blocks.begin(), blocks.end(), schedule);
  for (const unsigned index : blocks) {
    blockIdx = dim3(index);
    run_block(block.x);
  }
  return 0;
}

void set_schedule(std::uint64_t seed) {
  schedule.seed(seed);
  run_ahead = seed % 2 == 1;
}

}  // namespace host_cuda
