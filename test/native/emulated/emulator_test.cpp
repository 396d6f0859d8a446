// What the emulator of kernels sees: a mistake of each kind, planted, and none where there is none.
#include "native/host_cuda/emulator.h"

#include <algorithm>
#include <string>
#include <vector>

#include "native/emulated/emulated.h"
#include "native/emulated/faulty_kernels.h"
#include "native/host_cuda/cuda_runtime.h"

namespace emulated_emulator_test {
namespace {

using namespace emulated;
using faulty::Fault;

int run(Fault fault) {
  Arguments memory;
  const at::Tensor output = memory.output({64}, at::kFloat);
  const at::Tensor input = at::arange(256, at::kFloat);
  return faulty::run(fault, {static_cast<const float*>(memory.input(input)), output.data_ptr<float>()});
}

struct Planted {
  Fault fault;
  std::vector<std::string> seen;  ///< as one of these: which, is a matter of the order in which threads come
};

constexpr const char* unwritten = "which nothing has written";
constexpr const char* under_way = "an asynchronous copy that has not been waited for";

const std::vector<Planted> planted = {
    {Fault::kBarrierMissing, {"race: ", unwritten}},
    {Fault::kBarrierMissingBehind, {"race: "}},
    {Fault::kWarpBarrierMissing, {"race: ", unwritten}},
    {Fault::kBlocksRace, {"race: "}},
    {Fault::kReadBeyondEnd, {"outside of the memory"}},
    {Fault::kWriteBeyondEnd, {"outside of the memory"}},
    {Fault::kDynamicSharedBeyondEnd, {"beyond the end"}},
    {Fault::kStaticSharedBeyondEnd, {"an array is indexed beyond its end, at 64"}},
    {Fault::kMisalignedVector, {"misaligned: "}},
    {Fault::kMisalignedMatrixRow, {"misaligned: a row of a matrix"}},
    {Fault::kMisalignedCopy, {"misaligned: an asynchronous copy"}},
    {Fault::kBarrierOfHalf, {"at different barriers: faulty_kernels.cu"}},
    {Fault::kShuffleOfHalf, {"at different instructions: "}},
    {Fault::kBarrierNotReached, {"deadlock: "}},
    {Fault::kPartialMask, {"whole warps"}},
    {Fault::kUnwrittenShared, {unwritten}},
    {Fault::kUnwrittenGlobal, {unwritten}},
    {Fault::kInputWritten, {"which may only be read"}},
    {Fault::kCopyNotWaitedFor, {under_way}},
    {Fault::kCopyWaitedForTooLaxly, {under_way}},
    {Fault::kCopyOverReaders, {"race: "}},
    {Fault::kCopyWithoutBarrier, {"race: ", under_way, unwritten}},
};

TEST("emulator: sees each planted mistake by its name, whatever the schedule and the time of copies") {
  for (const host_cuda::Delivery delivery : {host_cuda::Delivery::kLazy, host_cuda::Delivery::kEager}) {
    host_cuda::set_delivery(delivery);
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      host_cuda::set_schedule(seed);
      for (const auto& [fault, seen] : planted) {
        const std::string message = check::message_thrown([&, which = fault] { run(which); });
        const auto said = [&](const std::string& part) { return message.find(part) != std::string::npos; };
        if (std::none_of(seen.begin(), seen.end(), said)) {
          check::fail(__FILE__, __LINE__, "must see \"" + seen.front() + "\" but said \"" + message + "\"");
        }
      }
      EXPECT(run(Fault::kNone) == 0);  // it goes on after a failure, and right kernels pass
    }
  }
}

TEST("emulator: loads of matrices and their product are those of the definition") {
  at::manual_seed(3);
  const at::Tensor a = at::randn({16, 16}).to(at::kBFloat16), b = at::randn({16, 8}).to(at::kBFloat16);
  Arguments memory;
  const at::Tensor c = memory.output({16, 8}, at::kFloat);
  EXPECT(faulty::run_product(static_cast<const std::uint16_t*>(memory.input(a)),
                             static_cast<const std::uint16_t*>(memory.input(b)), c.data_ptr<float>()) == 0);
  EXPECT_LE(error(c, at::mm(a.to(at::kDouble), b.to(at::kDouble))), 1e-6);
}

TEST("emulator: votes count the lanes of a warp") {
  for (const int count : {0, 5, 32}) {
    Arguments memory;
    const at::Tensor output = memory.output({32}, at::kFloat);
    EXPECT(faulty::run_votes(count, output.data_ptr<float>()) == 0);
    const float expected = static_cast<float>(count * 4 + (count > 0 ? 2 : 0) + (count == 32 ? 1 : 0));
    EXPECT(output.eq(expected).all().item<bool>());
  }
}

TEST("emulator: counts the passes that bank conflicts cost") {
  const auto passes = [](int stride) {
    Arguments memory;
    const at::Tensor output = memory.output({32}, at::kFloat);
    host_cuda::count_banks();
    EXPECT(faulty::run_strided(stride, output.data_ptr<float>()) == 0);
    const host_cuda::BankUse use = host_cuda::bank_use();
    EXPECT(use.accesses == 2);
    return use.passes / use.accesses;
  };
  EXPECT(passes(1) == 1);
  EXPECT(passes(2) == 2);
  EXPECT(passes(31) == 1);
  EXPECT(passes(32) == 32);
}

TEST("emulator: refuses launches that the device refuses") {
  EXPECT(host_cuda::run_grid(dim3(0), dim3(32), 0, nullptr, nullptr, nullptr) == 1);
  EXPECT(host_cuda::run_grid(dim3(1), dim3(2048), 0, nullptr, nullptr, nullptr) == 1);
  EXPECT(host_cuda::run_grid(dim3(1), dim3(32), 49 * 1024, nullptr, nullptr, nullptr) == 1);
  EXPECT(host_cuda::allow_dynamic_shared(nullptr, 256 * 1024) == 1);
}

}  // namespace
}  // namespace emulated_emulator_test
