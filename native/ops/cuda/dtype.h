#pragma once

namespace ehrjepa::kernels {

/// Element types of the CUDA kernels.
enum class Dtype { kFloat32, kBfloat16 };

}  // namespace ehrjepa::kernels
