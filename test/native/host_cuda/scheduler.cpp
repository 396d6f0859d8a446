// Fibres, and the order in which they run.
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <exception>
#include <map>
#include <numeric>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "emulator.h"
#include "engine.h"

// Not zero: what is zero at the start lies where shared memory lies (memory.cpp).
dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host_cuda {
namespace {

enum class State { kReady, kAtBarrier, kAtCollective, kDone };

/// Runs one thread of block after block. It is entered by its context once; later switches are jumps, which need no
/// system call.
struct Fibre {
  ucontext_t context;
  jmp_buf position;
  bool entered = false;
  State state = State::kDone;
  // What it waits for.
  Where where;
  Collective run = nullptr;
  const char* name = nullptr;
  void* brought = nullptr;
};

std::vector<Fibre> fibres;
std::array<std::uint16_t, largest_block / 32> warp_barriers;
jmp_buf scheduler;
bool thread_runs = false;
unsigned running = 0;
std::uint32_t block_serial = 0, launch_begin = 0, barriers = 0;
void (*body)(void*) = nullptr;
void* body_context = nullptr;
std::string failure;
std::mt19937_64 schedule;
bool run_ahead = false;
std::map<const void*, int> allowed_dynamic;

void leave(State state) {
  Fibre& fibre = fibres[running];
  fibre.state = state;
  if (_setjmp(fibre.position) == 0) _longjmp(scheduler, 1);
}

void fibre_main() {
  for (;;) {
    body(body_context);
    leave(State::kDone);
  }
}

void throw_failure() {
  if (failure.empty()) return;
  for (Fibre& fibre : fibres) fibre.entered = false;  // they stand in the middle of the kernel
  const std::string message = failure;
  failure.clear();
  forget_copies();
  throw std::runtime_error(message);
}

void resume(unsigned thread) {
  running = thread;
  threadIdx = dim3(thread, 0, 0);
  thread_runs = true;
  if (_setjmp(scheduler) != 0) {
    thread_runs = false;
    throw_failure();
    return;
  }
  Fibre& fibre = fibres[thread];
  if (fibre.entered) _longjmp(fibre.position, 1);
  fibre.entered = true;
  getcontext(&fibre.context);
  fibre.context.uc_stack.ss_sp = stack_of(thread);
  fibre.context.uc_stack.ss_size = stack_bytes;
  fibre.context.uc_link = nullptr;
  makecontext(&fibre.context, &fibre_main, 0);
  setcontext(&fibre.context);
}

std::string place(const Where& where) {
  const std::string file = where.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line());
}

/// Runs the instruction that all lanes of a warp have come to, if they have.
bool release_warp(unsigned first) {
  void* lanes[32];
  for (unsigned lane = 0; lane < 32; ++lane) {
    Fibre& fibre = fibres[first + lane];
    if (fibre.state != State::kAtCollective) return false;
    lanes[lane] = fibre.brought;
    const Fibre& other = fibres[first];
    if (fibre.run != other.run || fibre.where.line() != other.where.line()) {
      fail(std::string("lanes of a warp are at different instructions: ") + other.name + " (" + place(other.where) +
           ") and " + fibre.name + " (" + place(fibre.where) + ")");
    }
  }
  running = first;
  if (fibres[first].run != nullptr) {
    fibres[first].run(lanes);
  } else {
    ++warp_barriers[first / 32];
  }
  end_of_stretch(first / 32);
  for (unsigned lane = 0; lane < 32; ++lane) fibres[first + lane].state = State::kReady;
  return true;
}

/// Lets the block go on when all have come to a barrier. Threads that have ended count as arrived, as on the device.
bool release_block(unsigned threads) {
  const Fibre* first = nullptr;
  for (unsigned t = 0; t < threads; ++t) {
    const Fibre& fibre = fibres[t];
    if (fibre.state == State::kReady || fibre.state == State::kAtCollective) return false;
    if (fibre.state != State::kAtBarrier) continue;
    if (first == nullptr) first = &fibre;
    if (fibre.where.line() != first->where.line()) {
      fail("threads of a block are at different barriers: " + place(first->where) + " and " + place(fibre.where));
    }
  }
  for (unsigned t = 0; t < threads; ++t) {
    if (fibres[t].state == State::kAtBarrier) fibres[t].state = State::kReady;
  }
  ++barriers;
  for (unsigned warp = 0; warp < threads / 32; ++warp) end_of_stretch(warp);
  return first != nullptr;
}

std::string what_they_wait_for(unsigned threads) {
  std::ostringstream text;
  text << "deadlock: threads wait for what not all reach:";
  for (const auto state : {State::kAtBarrier, State::kAtCollective}) {
    for (unsigned t = 0; t < threads; ++t) {
      if (fibres[t].state != state) continue;
      text << " thread " << t << " at " << (state == State::kAtBarrier ? "a barrier" : fibres[t].name) << " ("
           << place(fibres[t].where) << ")";
      break;
    }
  }
  return text.str();
}

void run_block(unsigned threads) {
  ++block_serial;
  barriers = 0;
  warp_barriers = {};
  for (unsigned t = 0; t < threads; ++t) fibres[t].state = State::kReady;
  std::vector<unsigned> order(threads / 32), lanes(32);
  std::iota(order.begin(), order.end(), 0u);
  std::iota(lanes.begin(), lanes.end(), 0u);
  std::shuffle(lanes.begin(), lanes.end(), schedule);
  const auto run_warp = [&](unsigned first) {
    for (const unsigned lane : lanes) {
      if (fibres[first + lane].state == State::kReady) resume(first + lane);
    }
  };
  for (;;) {
    std::shuffle(order.begin(), order.end(), schedule);
    bool released = false;
    for (const unsigned warp : order) {
      run_warp(warp * 32);
      // In every other schedule a warp runs ahead to the next barrier before the others start: the largest skew there
      // can be.
      while (release_warp(warp * 32)) {
        released = true;
        if (!run_ahead) break;
        run_warp(warp * 32);
      }
    }
    if (release_block(threads) || released) continue;
    const auto done = [](const Fibre& fibre) { return fibre.state == State::kDone; };
    if (!std::all_of(fibres.begin(), fibres.begin() + threads, done)) fail(what_they_wait_for(threads));
    forget_copies();
    return;
  }
}

}  // namespace

Moment now() { return {block_serial, barriers, warp_barriers[running / 32], static_cast<std::uint16_t>(running)}; }
std::uint32_t first_block_of_launch() { return launch_begin; }
bool in_thread() { return thread_runs; }

void fail(const std::string& message) {
  failure = "[host_cuda] block " + std::to_string(blockIdx.x) +
            (thread_runs ? ", thread " + std::to_string(running) : "") + ": " + message;
  if (thread_runs) _longjmp(scheduler, 1);
  throw_failure();
  std::terminate();
}

void synchronize_block(Where where) {
  fibres[running].where = where;
  leave(State::kAtBarrier);
}

void collective(Collective run, const char* name, void* brought, Where where) {
  Fibre& fibre = fibres[running];
  fibre.where = where;
  fibre.run = run;
  fibre.name = name;
  fibre.brought = brought;
  leave(State::kAtCollective);
}

int allow_dynamic_shared(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<unsigned>(bytes) > largest_dynamic_shared) return 1;
  allowed_dynamic[kernel] = bytes;
  return 0;
}

int run_grid(dim3 grid, dim3 block, std::size_t dynamic_bytes, const void* kernel, void (*thread)(void*),
             void* context) {
  const auto allowed = allowed_dynamic.find(kernel);
  const auto most = static_cast<std::size_t>(allowed == allowed_dynamic.end() ? 48 * 1024 : allowed->second);
  const bool accepted = grid.x > 0 && grid.x <= 0x7fffffffu && grid.y == 1 && grid.z == 1 && block.x > 0 &&
                        block.x <= largest_block && block.x % 32 == 0 && block.y == 1 && block.z == 1 &&
                        dynamic_bytes <= most;
  if (!accepted) return 1;
  if (fibres.empty()) fibres = std::vector<Fibre>(largest_block);
  gridDim = grid;
  blockDim = block;
  body = thread;
  body_context = context;
  launch_begin = block_serial + 1;
  begin_launch(dynamic_bytes);
  std::vector<unsigned> blocks(grid.x);
  std::iota(blocks.begin(), blocks.end(), 0u);
  std::shuffle(blocks.begin(), blocks.end(), schedule);
  for (const unsigned index : blocks) {
    blockIdx = dim3(index, 0, 0);
    run_block(block.x);
  }
  return 0;
}

void set_schedule(std::uint64_t seed) {
  schedule.seed(seed);
  run_ahead = seed % 2 == 1;
}

}  // namespace host_cuda
