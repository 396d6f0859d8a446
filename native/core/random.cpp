#include "core/random.h"

#include <algorithm>
#include <cmath>

namespace ehrjepa {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xd2511f53} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xcd9e8d57} * counter[2];
    const auto high0 = static_cast<std::uint32_t>(product0 >> 32);
    const auto high1 = static_cast<std::uint32_t>(product1 >> 32);
    counter = {high1 ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1), high0 ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += 0x9e3779b9;
    key[1] += 0xbb67ae85;
  }
  return counter;
}

void random_words(std::uint64_t seed, RandomPurpose purpose, std::uint32_t stream, std::uint32_t substream,
                  std::uint32_t first, std::span<std::uint32_t> words) {
  const std::array<std::uint32_t, 2> key = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  for (std::size_t i = 0; i + 4 <= words.size(); i += 4) {
    const std::array<std::uint32_t, 4> block = philox4x32(
        {first + static_cast<std::uint32_t>(i / 4), stream, substream, static_cast<std::uint32_t>(purpose)}, key);
    std::copy(block.begin(), block.end(), words.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

RandomStream::RandomStream(std::uint64_t seed, RandomPurpose purpose, std::uint32_t stream, std::uint32_t substream)
    : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
      counter_{0, stream, substream, static_cast<std::uint32_t>(purpose)} {}

std::uint32_t RandomStream::uint32() {
  if (used_ == 4) {
    words_ = philox4x32(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return words_[used_++];
}

double RandomStream::uniform() {
  const std::uint32_t high = uint32() >> 5;
  const std::uint32_t low = uint32() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

double RandomStream::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  for (;;) {
    const double u = 2 * uniform() - 1;
    const double v = 2 * uniform() - 1;
    const double s = u * u + v * v;
    if (s > 0 && s < 1) {
      const double factor = std::sqrt(-2 * std::log(s) / s);
      spare_ = v * factor;
      has_spare_ = true;
      return u * factor;
    }
  }
}

}  // namespace ehrjepa
