#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "distributed/group.h"
#include "model/block_watch.h"
#include "model/weights.h"

namespace ehrjepa::train {

/// The weights of a decoder in the compute dtype for the passes of one step, of which each rank keeps those it owns
/// (ZeRO-3; Rajbhandari et al. 2020). Those of a block are on their way while the block before it is computed, and are
/// freed behind it; embedding, head and final norm are here from a pass's first row to its last. All ranks make the
/// same calls in the same order, those that compute nothing with `follow_…`.
class GatheredWeights final : public model::BlockWatch {
 public:
  /// Which rank keeps a weight; absent: every rank has it.
  using Owner = std::function<std::optional<std::int64_t>(const std::string& name)>;

  /// @param kept     of this rank; those of others are on the meta device.
  /// @param device   of all of them.
  /// @param learns   whether gradients are to reach them; they end at `leaves`.
  GatheredWeights(const model::Qwen3Weights& kept, const Qwen3Config& config, const Owner& owner, at::Device device,
                  at::ScalarType dtype, bool learns, distributed::Group& group, const std::atomic<bool>& cancelled);

  /// Those of a block have memory from `before` to `after` alone.
  const model::Qwen3Weights& weights() const { return weights_; }
  /// A leaf for each of `kept.trainable`; undefined where every rank has it.
  const std::vector<at::Tensor>& leaves() const { return leaves_; }
  /// Called in the backward pass when the gradients of a block are whole.
  void when_done(std::function<void(std::size_t block)> call) { done_ = std::move(call); }

  void begin_forward();
  void before(std::size_t block) override;
  void after(std::size_t block) override;
  /// Of a pass that no backward pass follows.
  void end_forward() { free(outside()); }
  void begin_backward();
  void before_backward(std::size_t block) override;
  void end_backward();

  /// What this rank does while others compute a pass.
  void follow_forward();
  void follow_backward() {
    begin_backward();
    end_backward();
  }

 private:
  /// A weight that a rank owns, and where it lies in the memory of its unit.
  struct Part {
    std::size_t weight;
    std::int64_t owner, begin;
  };
  /// What comes and goes together: a block, or what belongs to none.
  struct Unit {
    std::vector<Part> parts;  ///< one rank's behind another's
    at::Tensor flat;          ///< has memory while it is here or on its way
    std::vector<distributed::Group::Spread> under_way;
    bool is_here = false;
  };
  std::size_t blocks() const { return units_.size() - 1; }
  Unit& outside() { return units_.back(); }
  void lay_out(Unit& unit);
  void start(Unit& unit);
  void arrive(Unit& unit);
  static void free(Unit& unit);
  void finish_block(std::size_t block);

  distributed::Group& group_;
  const std::atomic<bool>& cancelled_;
  at::Device device_;
  at::ScalarType dtype_;
  bool learns_;
  std::vector<at::Tensor> kept_, leaves_;
  std::vector<Unit> units_;  ///< by block; the last is what belongs to none
  model::Qwen3Weights weights_;
  std::size_t next_ = 0;  ///< the backward pass has come to this block
  std::function<void(std::size_t)> done_;
};

}  // namespace ehrjepa::train
