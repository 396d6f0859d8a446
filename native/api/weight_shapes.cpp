#include "api/weight_shapes.h"

#include "model/layout.h"

namespace ehrjepa::api {

std::vector<WeightShape> weight_shapes(const Qwen3Config& config) {
  std::vector<WeightShape> result;
  for (const model::Weight& weight : model::qwen3_layout(config))
    result.push_back({weight.name(), weight.shape(config)});
  return result;
}

}  // namespace ehrjepa::api
