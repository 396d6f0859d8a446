#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/linear_map.h"
#include "model/weights.h"

namespace ehrjepa::model {

struct LayoutRow;

/// How a weight that comes from no file begins.
enum class Initial {
  kNormal,  ///< normal(0, initializer_range)
  kOnes,
};

/// One weight of a decoder: a row of the layout and, inside a block, the number of the block. The layout is the one
/// place that spells names and shapes; files, initial values, adapters and counts are read off it.
class Weight {
 public:
  Weight(const LayoutRow& row, std::size_t layer) : row_(&row), layer_(layer) {}

  /// As HuggingFace names it: `model.layers.0.self_attn.q_proj.weight`.
  std::string name() const { return module() + ".weight"; }
  /// The module that holds it: the name without `.weight`.
  std::string module() const;
  std::vector<std::int64_t> shape(const Qwen3Config& config) const;
  /// Scalars.
  std::int64_t count(const Qwen3Config& config) const;
  Initial initial() const;
  /// Which linear map of its block it is; absent for embedding, head and norms, which LoRA does not adapt.
  std::optional<LinearMap> map() const;
  /// The block it belongs to; 0 outside of one.
  std::size_t layer() const { return layer_; }
  /// The same; absent outside of one.
  std::optional<std::size_t> block() const;

  at::Tensor& of(Qwen3Weights& weights) const;
  const at::Tensor& of(const Qwen3Weights& weights) const;

 private:
  const LayoutRow* row_;
  std::size_t layer_;
};

/// The weights of a decoder in the order of the files. A tied head is none of its own.
std::vector<Weight> qwen3_layout(std::size_t layers, bool has_tied_head);
/// @throws Error for a configuration that breaks a rule.
std::vector<Weight> qwen3_layout(const Qwen3Config& config);

/// A linear map's own name: `q_proj`.
std::string_view module_name(LinearMap map);
/// The weights of one block, in the order of the files.
std::vector<at::Tensor*> tensors_of(Qwen3Layer& layer);
/// The weight of a linear map of one block.
const at::Tensor& weight_of(const Qwen3Layer& layer, LinearMap map);

}  // namespace ehrjepa::model
