#pragma once
#include <cstdint>

namespace faulty {

/// One mistake each, of those that kernels are made with. kNone: the same work without one.
enum class Fault {
  kNone,
  kBarrierMissing,          ///< before what other warps wrote is read
  kBarrierMissingBehind,    ///< before what other warps still read is written again
  kWarpBarrierMissing,      ///< between lanes that pass numbers by shared memory
  kBlocksRace,              ///< two blocks write one element
  kReadBeyondEnd,           ///< of global memory
  kWriteBeyondEnd,          ///< of global memory
  kDynamicSharedBeyondEnd,  ///< of the shared memory that was asked for
  kStaticSharedBeyondEnd,   ///< of a shared array
  kMisalignedVector,        ///< 16 bytes at an odd element
  kMisalignedMatrixRow,     ///< a row of ldmatrix at 8 bytes
  kMisalignedCopy,          ///< an asynchronous copy to 8 bytes
  kBarrierOfHalf,           ///< in a branch that half of the threads take, and another barrier in the other
  kShuffleOfHalf,           ///< in a branch of the warp, a vote in the other
  kBarrierNotReached,       ///< by lanes that wait for a shuffle which the others never make
  kPartialMask,             ///< a shuffle that names half of the lanes
  kUnwrittenShared,         ///< read before anything was stored
  kUnwrittenGlobal,         ///< an output read as if it held zeros
  kInputWritten,            ///< what belongs to others
  kCopyNotWaitedFor,        ///< what an asynchronous copy brings is read at once
  kCopyWaitedForTooLaxly,   ///< one group too few
  kCopyOverReaders,         ///< a copy is issued while other warps still read where it goes
  kCopyWithoutBarrier,      ///< waited for by the thread that issued it, read by another
};

/// The memory of a launch: one block of 64 threads, two for kBlocksRace.
struct Work {
  const float* input;  ///< (256)
  float* output;       ///< (64), holds nothing yet
};

/// @return what the launch gives. @throws std::runtime_error by the emulator.
int run(Fault fault, const Work& work);

/// Loads, transposed loads and a product of matrices: c (16, 8) = a (16, 16) b (16, 8), all row by row.
int run_product(const std::uint16_t* a, const std::uint16_t* b, float* c);
/// 32 lanes read words of a shared array at a distance of `stride` words.
int run_strided(int stride, float* output);
/// Votes of a warp: output[lane] = lanes below `count` counted, any, all.
int run_votes(int count, float* output);

}  // namespace faulty
