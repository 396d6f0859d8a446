#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "contract/losses.h"
#include "distributed/ownership.h"
#include "model/parameters.h"

namespace ehrjepa::train {

/// What one update is made with.
struct UpdateOptions {
  OptimizerOptions optimizer;
  /// () float64 where the parameters are: what clipping by the global norm makes of the gradients. Where it is not
  /// finite the update is not made. Undefined: 1.
  at::Tensor gradient_scale = {};
  double parameter_clip = 0.0;                    ///< largest norm of the gradient of each parameter; 0 does not clip
  std::optional<double> momentum = std::nullopt;  ///< EMA decay of the target encoder; absent: it stays as it is
  std::uint64_t seed = 0;                         ///< stochastic rounding is drawn from seed and step
  std::uint32_t step = 0;
  at::ScalarType products = at::kFloat;  ///< dtype in which Muon multiplies
};

/// AdamW (Loshchilov & Hutter 2019) with two decay groups: matrices and embeddings decay, norms and biases do not. The
/// target encoder follows in the same pass over memory. Moments have the parameter's dtype. A parameter without a
/// gradient (the predictor in an SFT-only step) is left alone, its step count too; its target still follows.
///
/// With `MatrixUpdate::kMuon` the matrices but for embedding and head are updated by Muon, whose moment is `exp_avg`;
/// their `exp_avg_sq` then stays as it is.
///
/// Of parameters that another rank owns there are step counts, but moments, target and gradient are on the meta device:
/// shapes without memory. Their update is that rank's.
class Optimizer {
 public:
  /// @param targets  the target encoder's, under the names of the parameters that they follow.
  /// @param ownership  absent: all parameters are this process's.
  explicit Optimizer(const std::vector<model::NamedTensor>& parameters,
                     const std::vector<model::NamedTensor>& targets = {},
                     const distributed::Ownership* ownership = nullptr);

  /// Asked before a step begins. @throws Error  when Muon is to update a matrix that is not float32.
  void require(const OptimizerOptions& options) const;

  /// @param gradients  one per parameter, undefined where there is none, on the meta device where another rank has it.
  /// Whether the update was made the device alone knows: `count_updates` follows when the host has seen that it was.
  void step(const std::vector<at::Tensor>& gradients, const UpdateOptions& options);
  /// The share of one parameter in a step. @param gradient  undefined: its target alone follows.
  void update(std::size_t index, const at::Tensor& gradient, const UpdateOptions& options);
  /// Adds 1 to the step counts of the parameters that were updated since `forget_updates`, or this, was called.
  void count_updates();
  /// The updates were not made.
  void forget_updates() { updated_.assign(slots_.size(), false); }

  /// Moments and step counts by name, for checkpoints. The tensors are the optimiser's own.
  std::vector<model::NamedTensor> state() const;

 private:
  struct Slot {
    at::Tensor parameter;
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
    at::Tensor steps;   ///< () float32, on the host, which works out the bias corrections
    at::Tensor target;  ///< undefined: the target encoder has none
    bool decays;
    bool is_matrix;  ///< between features: what Muon is for
  };
  std::vector<std::string> names_;
  std::vector<Slot> slots_;
  std::vector<bool> updated_;  ///< since the last count
};

/// Sums of the squares of gradients, one each, undefined where there is none; 0 for those of another rank.
std::vector<at::Tensor> squares_of(const std::vector<at::Tensor>& gradients);

/// Global L2 norm of those that are defined, () float64 where they are.
at::Tensor gradient_norm(const std::vector<at::Tensor>& gradients);
/// The same from `squares_of`.
at::Tensor norm_of(const std::vector<at::Tensor>& squares);

/// Factor by which gradients of this norm become no longer than `limit`; 0 does not clip. NaN for a norm that is not
/// finite. @return () float64
at::Tensor clip_scale(const at::Tensor& norm, double limit);

}  // namespace ehrjepa::train
