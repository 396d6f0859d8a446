// What can be said of the CUDA variant without a card: it is linked with libtorch_cuda, it loads, its ops are
// registered for CUDA, its kernels are in the binary, and where no card can be used they say so by an error code.
// Prints TAP.
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <cuda_runtime_api.h>

#include <cstdio>
#include <string>

#include "distributed/nccl.h"
#include "ops/cuda/tensors.h"
#include "ops/rms_norm/kernel.h"

namespace {

int number = 0;
bool all_passed = true;

void report(bool passed, const std::string& name) {
  all_passed = all_passed && passed;
  std::printf("%sok %d - %s\n", passed ? "" : "not ", ++number, name.c_str());
}

int launch(std::int64_t rows) {
  return ehrjepa::kernels::launch_rms_norm_forward({.x = nullptr,
                                                    .delta = nullptr,
                                                    .weight = nullptr,
                                                    .sum = nullptr,
                                                    .y = nullptr,
                                                    .rstd = nullptr,
                                                    .rows = rows,
                                                    .size = 128,
                                                    .eps = 1e-6f,
                                                    .dtype = ehrjepa::kernels::Dtype::kBfloat16},
                                                   nullptr);
}

}  // namespace

int main() {
  const bool wanted = ehrjepa::ops::cuda_kernels_wanted();
  // Throws where libtorch_cuda is not loaded.
  report(at::Context::versionCUDART() > 0, "libtorch_cuda is loaded");
  for (const char* op :
       {"ehrjepa::rms_norm_forward", "ehrjepa::rms_norm_backward", "ehrjepa::add_rms_norm_forward",
        "ehrjepa::add_rms_norm_backward", "ehrjepa::norm_rotary_forward", "ehrjepa::norm_rotary_backward",
        "ehrjepa::swiglu_forward", "ehrjepa::swiglu_backward", "ehrjepa::adamw_", "ehrjepa::sum_of_squares"}) {
    const auto handle = c10::Dispatcher::singleton().findSchemaOrThrow(op, "");
    report(handle.hasKernelForDispatchKey(c10::DispatchKey::CUDA) == wanted,
           std::string(op) + (wanted ? " is registered for CUDA" : " is left to its reference"));
  }
  report(launch(0) == 0, "no rows are no error");
  int cards = 0;
  const cudaError_t found = cudaGetDeviceCount(&cards);
  report(at::hasCUDA() == (cards > 0), "libtorch and the CUDA runtime see the same cards: " + std::to_string(cards));
  if (cards == 0) {
    const std::string reason = cudaGetErrorString(found);
    report(found != cudaSuccess && launch(1) == static_cast<int>(found), "a launch fails with the reason: " + reason);
    report(!ehrjepa::distributed::make_nccl({}, 0, 2, std::chrono::seconds(1)), "ranks without a card have no NCCL");
  }
  std::printf("1..%d\n", number);
  return all_passed ? 0 : 1;
}
