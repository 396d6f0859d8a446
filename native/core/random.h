#pragma once
#include <array>
#include <cstdint>
#include <span>

namespace ehrjepa {

/// What a stream of draws is for. The numbers are those of lib/random.ts, so both sides draw the same streams.
enum class RandomPurpose : std::uint32_t {
  kBootstrap = 7,
  kInitialisation = 8,
  kDropout = 9,
  kDirections = 11,
  kRounding = 13,
  kTravel = 19
};

/// Counter-based generator, Philox4x32-10 (Salmon et al., SC 2011). A draw is a function of
/// (seed, purpose, stream, substream, position) alone; threads and order of work cannot change it.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, RandomPurpose purpose, std::uint32_t stream, std::uint32_t substream = 0);
  std::uint32_t uint32();
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Standard normal, polar method.
  double normal();

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> words_{};
  unsigned used_ = 4;
  bool has_spare_ = false;
  double spare_ = 0.0;
};

/// One block: four words from a 128-bit counter and a 64-bit key.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// Words of a stream from block number `first` on: what `RandomStream` gives after 4 `first` words.
/// @param words  a multiple of four.
void random_words(std::uint64_t seed, RandomPurpose purpose, std::uint32_t stream, std::uint32_t substream,
                  std::uint32_t first, std::span<std::uint32_t> words);

}  // namespace ehrjepa
