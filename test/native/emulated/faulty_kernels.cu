// Kernels with one mistake each, which the emulator has to see (emulator_test.cpp).
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <initializer_list>

#include "native/emulated/faulty_kernels.h"
#include "ops/cuda/async_copy.h"
#include "ops/cuda/element.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/shared.h"
#include "ops/cuda/tensor_core.h"

namespace faulty {
namespace {

using namespace ehrjepa::kernels;

constexpr int threads = 64;

/// Sums of neighbours in the other warp, twice, by way of shared memory.
__global__ void exchange_kernel(Work work, Fault fault) {
  __shared__ float shared[threads];
  const int t = static_cast<int>(threadIdx.x);
  shared[t] = work.input[t];
  if (fault != Fault::kBarrierMissing) __syncthreads();
  const float other = shared[(t + 32) % threads];
  if (fault != Fault::kBarrierMissingBehind) __syncthreads();
  shared[t] = other + 1.0f;
  __syncthreads();
  work.output[t] = shared[(t + 1) % threads];
}

__global__ void warp_kernel(Work work, Fault fault) {
  __shared__ float shared[threads];
  const int t = static_cast<int>(threadIdx.x);
  shared[t] = work.input[t];
  if (fault != Fault::kWarpBarrierMissing) __syncwarp();
  work.output[t] = shared[t ^ 1];
}

__global__ void global_kernel(Work work, Fault fault) {
  const int t = static_cast<int>(threadIdx.x);
  const int from = fault == Fault::kReadBeyondEnd ? t + 193 : t;
  const int to = fault == Fault::kWriteBeyondEnd ? t + 1 : t;
  if (fault == Fault::kInputWritten && t == 3) const_cast<float*>(work.input)[t] = 0.0f;
  const float before = fault == Fault::kUnwrittenGlobal ? work.output[t] : 0.0f;
  work.output[to] = before + work.input[from];
}

__global__ void shared_kernel(Work work, Fault fault) {
  __shared__ float fixed[threads];
  auto* const dynamic = reinterpret_cast<float*>(dynamic_shared());
  const int t = static_cast<int>(threadIdx.x);
  dynamic[fault == Fault::kDynamicSharedBeyondEnd ? t + 1 : t] = work.input[t];
  fixed[fault == Fault::kStaticSharedBeyondEnd ? t + 1 : t] = work.input[t + 64];
  __syncthreads();
  const int from = fault == Fault::kUnwrittenShared ? 64 + t : t;  // the launch asks for twice as much
  if (fault == Fault::kUnwrittenShared) {
    work.output[t] = dynamic[from];
    return;
  }
  work.output[t] = dynamic[from] + fixed[t];
}

__global__ void vector_kernel(Work work, Fault fault) {
  const int t = static_cast<int>(threadIdx.x);
  const auto four = load<Vector<float, 4>>(work.input + (fault == Fault::kMisalignedVector ? 1 : 0) + t % 8 * 4);
  work.output[t] = four.values[0] + four.values[3];
}

__global__ void divergent_kernel(Work work, Fault fault) {
  const int t = static_cast<int>(threadIdx.x);
  float value = work.input[t];
  if (fault == Fault::kBarrierOfHalf) {
    if (t < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  } else if (fault == Fault::kShuffleOfHalf) {
    if (t % 2 == 0) {
      value += __shfl_xor_sync(0xffffffffu, value, 2);
    } else {
      value += static_cast<float>(__any_sync(0xffffffffu, t == 1));
    }
  } else if (fault == Fault::kBarrierNotReached) {
    if (t == 5) value += __shfl_xor_sync(0xffffffffu, value, 2);
    __syncthreads();
  } else if (fault == Fault::kPartialMask) {
    value += __shfl_xor_sync(0x0000ffffu, value, 2);
  } else {
    value += __shfl_xor_sync(0xffffffffu, value, 2);
    __syncthreads();
  }
  work.output[t] = value;
}

/// Rows of the input by way of two halves of shared memory, the second brought while the first is read.
__global__ void copy_kernel(Work work, Fault fault) {
  auto* const buffer = reinterpret_cast<float*>(dynamic_shared());  // (2, 64)
  const int t = static_cast<int>(threadIdx.x);
  const auto bring = [&](int half, int row) {
    if (t < 16) copy_async(buffer + half * 64 + t * 4, work.input + row * 64 + t * 4, true);
    commit_copies();
  };
  bring(0, 0);
  bring(1, 1);
  float sum = 0.0f;
  for (int row = 0; row < 4; ++row) {
    if (fault == Fault::kCopyNotWaitedFor) {
    } else if (row == 3 && fault != Fault::kCopyWaitedForTooLaxly) {
      wait_for_copies<0>();
    } else {
      wait_for_copies<1>();
    }
    if (fault != Fault::kCopyWithoutBarrier) __syncthreads();
    sum += buffer[row % 2 * 64 + (t + 32) % 64];
    if (fault != Fault::kCopyOverReaders) __syncthreads();
    if (row + 2 < 4) bring(row % 2, row + 2);
  }
  work.output[t] = sum;
}

__global__ void misaligned_kernel(Work work, Fault fault) {
  auto* const buffer = reinterpret_cast<__nv_bfloat16*>(dynamic_shared());
  const int t = static_cast<int>(threadIdx.x);
  for (int i = t; i < 1024; i += threads) buffer[i] = __float2bfloat16_rn(1.0f);
  __syncthreads();
  if (fault == Fault::kMisalignedCopy) copy_async(buffer + 4, work.input, true);
  std::uint32_t words[4];
  load_matrices<false>(words, buffer + t % 32 * 8 + (fault == Fault::kMisalignedMatrixRow ? 4 : 0));
  work.output[t] = static_cast<float>(words[0]);
}

__global__ void blocks_kernel(Work work) { work.output[threadIdx.x] = work.input[threadIdx.x]; }

__global__ void product_kernel(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) {
  auto* const left = reinterpret_cast<__nv_bfloat16*>(dynamic_shared());
  __nv_bfloat16* const right = left + 256;
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) left[i] = a[i];
  for (int i = lane; i < 128; i += 32) right[i] = b[i];
  __syncthreads();
  std::uint32_t of_a[4], of_b[4];
  load_matrices<false>(of_a, left + (lane % 16) * 16 + lane / 16 * 8);
  load_matrices<true>(of_b, right + (lane % 16) * 8);
  float d[4] = {};
  multiply_add(d, of_a, {of_b[0], of_b[1]});
  for (int i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}

__global__ void strided_kernel(int stride, float* output) {
  auto* const words = reinterpret_cast<float*>(dynamic_shared());
  const int lane = static_cast<int>(threadIdx.x);
  words[lane * stride] = 1.0f;
  __syncwarp();
  output[lane] = words[lane * stride];
  __syncwarp();
}

__global__ void votes_kernel(int count, float* output) {
  const int lane = static_cast<int>(threadIdx.x);
  const unsigned ballot = __ballot_sync(0xffffffffu, lane < count);
  int lanes = 0;
  for (int i = 0; i < 32; ++i) lanes += static_cast<int>(ballot >> i & 1u);
  output[lane] =
      static_cast<float>(lanes * 4 + __any_sync(0xffffffffu, lane < count) * 2 + __all_sync(0xffffffffu, lane < count));
}

}  // namespace

int run(Fault fault, const Work& work) {
  switch (fault) {
    case Fault::kNone: {
      int error = 0;
      for (const auto kernel : {&exchange_kernel, &warp_kernel, &global_kernel, &vector_kernel, &divergent_kernel}) {
        error += launch(kernel, 1, threads, 0, nullptr, work, fault);
      }
      for (const auto kernel : {&shared_kernel, &copy_kernel}) {
        error += launch(kernel, 1, threads, 512, nullptr, work, fault);
      }
      return error + launch(&misaligned_kernel, 1, threads, 2048, nullptr, work, fault);
    }
    case Fault::kBarrierMissing:
    case Fault::kBarrierMissingBehind:
      return launch(&exchange_kernel, 1, threads, 0, nullptr, work, fault);
    case Fault::kWarpBarrierMissing:
      return launch(&warp_kernel, 1, threads, 0, nullptr, work, fault);
    case Fault::kBlocksRace:
      return launch(&blocks_kernel, 2, threads, 0, nullptr, work);
    case Fault::kReadBeyondEnd:
    case Fault::kWriteBeyondEnd:
    case Fault::kUnwrittenGlobal:
    case Fault::kInputWritten:
      return launch(&global_kernel, 1, threads, 0, nullptr, work, fault);
    case Fault::kDynamicSharedBeyondEnd:
      return launch(&shared_kernel, 1, threads, 256, nullptr, work, fault);
    case Fault::kStaticSharedBeyondEnd:
    case Fault::kUnwrittenShared:
      return launch(&shared_kernel, 1, threads, 512, nullptr, work, fault);
    case Fault::kMisalignedVector:
      return launch(&vector_kernel, 1, threads, 0, nullptr, work, fault);
    case Fault::kMisalignedMatrixRow:
    case Fault::kMisalignedCopy:
      return launch(&misaligned_kernel, 1, threads, 2048, nullptr, work, fault);
    case Fault::kBarrierOfHalf:
    case Fault::kShuffleOfHalf:
    case Fault::kBarrierNotReached:
    case Fault::kPartialMask:
      return launch(&divergent_kernel, 1, threads, 0, nullptr, work, fault);
    default:
      return launch(&copy_kernel, 1, threads, 512, nullptr, work, fault);
  }
}

int run_product(const std::uint16_t* a, const std::uint16_t* b, float* c) {
  return launch(&product_kernel, 1, 32, 768, nullptr, reinterpret_cast<const __nv_bfloat16*>(a),
                reinterpret_cast<const __nv_bfloat16*>(b), c);
}
int run_strided(int stride, float* output) {
  return launch(&strided_kernel, 1, 32, 32 * 32 * 4, nullptr, stride, output);
}
int run_votes(int count, float* output) { return launch(&votes_kernel, 1, 32, 0, nullptr, count, output); }

}  // namespace faulty
