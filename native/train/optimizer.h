#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "contract/losses.h"
#include "model/parameters.h"

namespace ehrjepa::train {

/// AdamW (Loshchilov & Hutter 2019) with two decay groups: matrices and embeddings decay, norms and biases do not.
/// Moments are float32. A parameter without a gradient (the predictor in an SFT-only step) is left alone, its step
/// count too.
class AdamW {
 public:
  explicit AdamW(std::vector<model::NamedTensor> parameters);

  /// @param gradients  one per parameter, undefined where there is none; already clipped.
  void step(const std::vector<at::Tensor>& gradients, const AdamWOptions& options);

  /// Moments and step counts by name, for checkpoints. The tensors are the optimiser's own.
  std::vector<model::NamedTensor> state() const;

 private:
  struct Slot {
    at::Tensor parameter;
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
    at::Tensor steps;  ///< () float32, as the fused kernel wants it
    bool decays;
  };
  std::vector<std::string> names_;
  std::vector<Slot> slots_;
};

/// Scales the gradients in place so that their global L2 norm is at most `limit`; 0 leaves them.
/// @return the norm before clipping.
double clip_gradients(const std::vector<at::Tensor>& gradients, double limit);

}  // namespace ehrjepa::train
