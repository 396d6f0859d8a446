// Conflicts in the banks of shared memory.
#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "emulator.h"
#include "engine.h"

namespace host_cuda {
namespace {

constexpr std::uintptr_t bank_bytes = 4, bank_count = 32;

/// One access of the lanes of a warp: the instruction, and which time each lane runs it since the lanes last met.
using Key = std::pair<const void*, unsigned>;
struct Stretch {
  std::map<Key, std::vector<std::pair<std::uintptr_t, std::size_t>>> accesses;
  std::map<std::pair<const void*, unsigned>, unsigned> times;  ///< (instruction, lane)
};

bool counting = false;
BankUse use;
std::map<unsigned, Stretch> stretches;

/// Passes that words in these places take: the words of the fullest bank; the same word is read by all at once.
std::uint64_t passes_of(const std::set<std::uintptr_t>& words) {
  std::uint64_t fullest = 0, of_bank[bank_count] = {};
  for (const std::uintptr_t word : words) fullest = std::max(fullest, ++of_bank[word % bank_count]);
  return fullest;
}

}  // namespace

void count_banks() {
  counting = true;
  use = {};
  stretches.clear();
}

BankUse bank_use() {
  counting = false;
  return use;
}

void use_banks(const void* address, std::size_t bytes, const void* code) {
  if (!counting || code == nullptr) return;
  const unsigned thread = now().thread;
  Stretch& stretch = stretches[thread / 32];
  const unsigned time = stretch.times[{code, thread % 32}]++;
  stretch.accesses[{code, time}].emplace_back(reinterpret_cast<std::uintptr_t>(address), bytes);
}

void use_banks_of_matrix(const void* const (&rows)[8]) {
  if (!counting) return;
  std::set<std::uintptr_t> words;
  for (const void* row : rows) {
    for (std::uintptr_t i = 0; i < 4; ++i) words.insert(reinterpret_cast<std::uintptr_t>(row) / bank_bytes + i);
  }
  ++use.accesses;
  use.passes += passes_of(words);
}

void end_of_stretch(unsigned warp) {
  if (!counting) return;
  Stretch& stretch = stretches[warp];
  for (const auto& [key, lanes] : stretch.accesses) {
    // Wider accesses are made by fewer lanes at a time.
    const std::size_t at_a_time = 128 / std::max<std::size_t>(4, lanes.front().second);
    for (std::size_t first = 0; first < lanes.size(); first += at_a_time) {
      std::set<std::uintptr_t> words;
      for (std::size_t i = first; i < std::min(lanes.size(), first + at_a_time); ++i) {
        for (std::uintptr_t byte = 0; byte < lanes[i].second; byte += bank_bytes) {
          words.insert((lanes[i].first + byte) / bank_bytes);
        }
      }
      ++use.accesses;
      use.passes += passes_of(words);
    }
  }
  stretch = {};
}

}  // namespace host_cuda
