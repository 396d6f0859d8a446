#pragma once
#include <torch/library.h>

#include <array>
#include <memory>

namespace pretend {

/// The dispatched functions of the project's ops; a test compares them with those that are registered.
inline constexpr std::array own_functions = {"adamw_",
                                             "sum_of_squares",
                                             "attention_forward",
                                             "attention_backward",
                                             "linear_cross_entropy_forward",
                                             "norm_rotary_forward",
                                             "norm_rotary_backward",
                                             "rms_norm_forward",
                                             "rms_norm_backward",
                                             "add_rms_norm_forward",
                                             "add_rms_norm_backward",
                                             "swiglu_forward",
                                             "swiglu_backward"};

/// While it lives the pretend devices have kernels for these: the CPU's. Without them the ops are computed by their
/// references there, as on a card for which they have no kernels.
class OwnKernels {
 public:
  OwnKernels();

 private:
  std::unique_ptr<torch::Library> library_;
};

}  // namespace pretend
