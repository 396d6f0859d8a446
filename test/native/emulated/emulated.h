// What tests of emulated kernels share: schedules, memory that kernels may touch, and how far results may be off.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "native/check.h"
#include "native/host_cuda/emulator.h"
#include "ops/cuda/dtype.h"

namespace emulated {

/// Runs a test of kernels under five schedules, one after the other; copies arrive late in some and early in others.
/// @param run  gives results, which must be the same bits every time; those of the first schedule are returned.
template <typename Run>
std::vector<at::Tensor> under_schedules(const Run& run) {
  constexpr int schedules = 5;
  std::vector<at::Tensor> first;
  for (int seed = 1; seed <= schedules; ++seed) {
    host_cuda::set_schedule(static_cast<std::uint64_t>(seed));
    host_cuda::set_delivery(seed % 4 < 2 ? host_cuda::Delivery::kLazy : host_cuda::Delivery::kEager);
    const std::vector<at::Tensor> found = run();
    if (seed == 1) first = found;
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT(found[i].equal(first[i]));
  }
  return first;
}

/// The memory of a launch: tensors that live as long as it does.
class Arguments {
 public:
  const void* input(const at::Tensor& tensor) {
    kept_.push_back(tensor.contiguous());
    memory_.reads(kept_.back().const_data_ptr(), kept_.back().nbytes());
    return kept_.back().numel() == 0 ? nullptr : kept_.back().const_data_ptr();
  }
  /// Filled with NaN: what a kernel does not write is seen.
  at::Tensor output(at::IntArrayRef sizes, at::ScalarType dtype) {
    kept_.push_back(at::full(sizes, NAN, at::TensorOptions().dtype(dtype)));
    memory_.writes(kept_.back().data_ptr(), kept_.back().nbytes());
    return kept_.back();
  }
  at::Tensor output_like(const at::Tensor& tensor) { return output(tensor.sizes(), tensor.scalar_type()); }
  /// A copy that the kernel may change.
  at::Tensor in_place(const at::Tensor& tensor) {
    kept_.push_back(tensor.contiguous().clone());
    memory_.updates(kept_.back().data_ptr(), kept_.back().nbytes());
    return kept_.back();
  }

 private:
  std::vector<at::Tensor> kept_;
  host_cuda::Memory memory_;
};

inline ehrjepa::kernels::Dtype dtype_of(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat ? ehrjepa::kernels::Dtype::kFloat32 : ehrjepa::kernels::Dtype::kBfloat16;
}

/// ||found - exact|| / ||exact||; what is not finite is infinitely far off.
inline double error(const at::Tensor& found, const at::Tensor& exact) {
  const at::Tensor wide = exact.to(at::kDouble);
  if (exact.numel() == 0) return 0.0;
  const double result = ((found.to(at::kDouble) - wide).norm() / wide.norm().clamp_min(1e-30)).item<double>();
  return std::isfinite(result) ? result : INFINITY;
}

/// @param found  of kernels, in float32 or bfloat16. @param exact  of the reference in float64, from the same inputs.
/// @param plain  of the reference in the dtype of `found`: in bfloat16 kernels may be off by twice as much as plain
/// ATen
///               is, and by what one rounding of the result costs.
inline void expect_near(const at::Tensor& found, const at::Tensor& exact, const at::Tensor& plain) {
  const double limit = found.scalar_type() == at::kFloat ? 2e-6 : 2 * error(plain, exact) + 2e-3;
  EXPECT_LE(error(found, exact), limit);
}

/// The same of every result of a kernel.
inline void expect_near(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& exact,
                        const std::vector<at::Tensor>& plain) {
  EXPECT(found.size() == exact.size() && found.size() == plain.size());
  for (std::size_t i = 0; i < found.size(); ++i) expect_near(found[i], exact[i], plain[i]);
}

}  // namespace emulated
