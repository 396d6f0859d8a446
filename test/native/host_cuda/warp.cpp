// Instructions by which the lanes of a warp meet.
#include "engine.h"

namespace host_cuda {
namespace {

void need_whole_warp(unsigned mask) {
  if (mask != 0xffffffffu) fail("only instructions of whole warps are known");
}

struct Exchange {
  std::uint32_t bits, source, result;
};

struct Vote {
  bool predicate;
  std::uint32_t result;
};

}  // namespace

void synchronize_warp(unsigned mask, Where where) {
  need_whole_warp(mask);
  collective(nullptr, "__syncwarp", nullptr, where);
}

std::uint32_t exchange(unsigned mask, std::uint32_t bits, unsigned source, Where where) {
  need_whole_warp(mask);
  Exchange mine{bits, source, 0};
  collective(
      [](void* const(&lanes)[32]) {
        for (void* lane : lanes) {
          auto* const one = static_cast<Exchange*>(lane);
          one->result = static_cast<Exchange*>(lanes[one->source])->bits;
        }
      },
      "a shuffle", &mine, where);
  return mine.result;
}

std::uint32_t vote(unsigned mask, bool predicate, Where where) {
  need_whole_warp(mask);
  Vote mine{predicate, 0};
  collective(
      [](void* const(&lanes)[32]) {
        std::uint32_t result = 0;
        for (unsigned lane = 0; lane < 32; ++lane) {
          if (static_cast<Vote*>(lanes[lane])->predicate) result |= 1u << lane;
        }
        for (void* lane : lanes) static_cast<Vote*>(lane)->result = result;
      },
      "a vote", &mine, where);
  return mine.result;
}

}  // namespace host_cuda
