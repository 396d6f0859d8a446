// The CUDA kernels of rms_norm, run on the host thread by thread (host_cuda/).
#include <ATen/ATen.h>

#include <tuple>
#include <vector>

#include "native/check.h"
#include "native/host_cuda/cuda_runtime.h"
#include "ops/rms_norm/kernel.h"
#include "ops/rms_norm/rms_norm.h"

namespace {

using ehrjepa::kernels::RmsNormDtype;

constexpr double eps = 1e-6;

struct Results {
  at::Tensor y, rstd, grad_x, grad_weight;
};

Results run_kernels(const at::Tensor& x_TD, const at::Tensor& weight, const at::Tensor& grad_out_TD) {
  const auto dtype = x_TD.scalar_type() == at::kFloat ? RmsNormDtype::kFloat32 : RmsNormDtype::kBfloat16;
  const std::int64_t rows = x_TD.size(0);
  const std::int64_t size = x_TD.size(1);
  // Filled with NaN: what a kernel does not write is seen.
  const auto unwritten = [](const at::Tensor& like) { return at::full_like(like, NAN); };
  const Results found{unwritten(x_TD), at::full({rows}, NAN), unwritten(x_TD), unwritten(weight)};
  const at::Tensor partial = at::full({ehrjepa::kernels::rms_norm_partials, size}, NAN);
  EXPECT(ehrjepa::kernels::launch_rms_norm_forward(
             {x_TD.const_data_ptr(), weight.const_data_ptr(), found.y.data_ptr(), found.rstd.data_ptr<float>(), rows,
              size, static_cast<float>(eps), dtype},
             nullptr) == 0);
  EXPECT(ehrjepa::kernels::launch_rms_norm_backward(
             {grad_out_TD.const_data_ptr(), x_TD.const_data_ptr(), weight.const_data_ptr(),
              found.rstd.const_data_ptr<float>(), found.grad_x.data_ptr(), partial.data_ptr<float>(),
              found.grad_weight.data_ptr(), rows, size, dtype},
             nullptr) == 0);
  return found;
}

double error(const at::Tensor& found, const at::Tensor& exact) {
  const at::Tensor wide = exact.to(at::kDouble);
  return ((found.to(at::kDouble) - wide).norm() / wide.norm().clamp_min(1e-30)).item<double>();
}

/// Every layout, with and without a last part that is not full, and with fewer and more rows than run at once.
const std::vector<std::tuple<std::int64_t, std::int64_t>> shapes = {
    {1, 2048}, {260, 2048}, {3, 4096}, {5, 1032}, {2100, 128}, {9, 512}, {7, 2050}, {2, 8192}, {270, 6}, {1, 1}};

void compare(at::ScalarType dtype) {
  for (const auto& [rows, size] : shapes) {
    at::manual_seed(23);
    const at::Tensor x = (at::randn({rows, size}) * 3 + 0.2).to(dtype);
    const at::Tensor weight = (at::rand({size}) + 0.5).to(dtype);
    const at::Tensor grad_out = at::randn({rows, size}).to(dtype);
    const auto [y, rstd] = ehrjepa::ops::rms_norm_forward(x, weight, eps);
    const auto [grad_x, grad_weight] = ehrjepa::ops::rms_norm_backward(grad_out, x, weight, rstd);
    // Both take float32 sums in another order: some roundings of float32, or single flips of the last bit in bfloat16
    // (2^-8 relative each, in few places).
    const double tolerance = dtype == at::kFloat ? 5e-7 : 5e-4;
    host_cuda::set_schedule(1);
    const Results found = run_kernels(x, weight, grad_out);
    EXPECT_LE(error(found.y, y), tolerance);
    EXPECT_LE(error(found.rstd, rstd), 5e-7);
    EXPECT_LE(error(found.grad_weight, grad_weight), tolerance);
    // With one feature the gradient is the difference of equal numbers.
    if (size > 1) EXPECT_LE(error(found.grad_x, grad_x), tolerance);
    host_cuda::set_schedule(2);
    const Results again = run_kernels(x, weight, grad_out);
    EXPECT(again.y.equal(found.y) && again.grad_x.equal(found.grad_x) && again.grad_weight.equal(found.grad_weight));
  }
}

TEST("rms_norm: CUDA kernels on the host agree with the CPU in float32, whatever the schedule") { compare(at::kFloat); }
TEST("rms_norm: CUDA kernels on the host agree with the CPU in bfloat16, whatever the schedule") {
  compare(at::kBFloat16);
}

void barrier_of_half() {
  if (threadIdx.x < 64) __syncthreads();
  if (threadIdx.x >= 96) __shfl_xor_sync(0xffffffffu, 1.0f, static_cast<int>(threadIdx.x % 2));
  if (threadIdx.x < 32) __shfl_xor_sync(0xffffffffu, 1.0f, 1);
  if (threadIdx.x % 2 == 0) __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}

/// Neighbouring warps read what others write, without a barrier between.
void race(float* sums) {
  __shared__ float shared[128];
  shared[threadIdx.x] = static_cast<float>(blockIdx.x + threadIdx.x);
  sums[blockIdx.x * 128 + threadIdx.x] = shared[(threadIdx.x + 32) % 128];
}

TEST("host_cuda: sees a divergent exchange as a deadlock, a missing barrier as a changed result, a refused size") {
  cudaLaunchConfig_t config{dim3(4), dim3(128), 0, nullptr};
  EXPECT_THROWS(cudaLaunchKernelEx(&config, &barrier_of_half), "[host_cuda] deadlock in block");
  std::vector<float> first(4 * 128), second(4 * 128);
  host_cuda::set_schedule(1);
  cudaLaunchKernelEx(&config, &race, first.data());
  host_cuda::set_schedule(2);
  cudaLaunchKernelEx(&config, &race, second.data());
  EXPECT(first != second);
  config.gridDim = dim3(0);
  EXPECT(cudaLaunchKernelEx(&config, &race, first.data()) == 1);
}

}  // namespace
