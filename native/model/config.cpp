#include "model/config.h"

#include <string>

#include "core/error.h"

namespace ehrjepa::model {
namespace {

void require(bool holds, const std::string& rule, std::int64_t found) {
  if (!holds) throw Error("[qwen3] " + rule + " but it is " + std::to_string(found));
}

}  // namespace

void check(const Qwen3Config& config) {
  require(config.vocab_size > 0, "vocab_size must be positive", config.vocab_size);
  require(config.hidden_size > 0, "hidden_size must be positive", config.hidden_size);
  require(config.intermediate_size > 0, "intermediate_size must be positive", config.intermediate_size);
  require(config.num_hidden_layers > 0, "num_hidden_layers must be positive", config.num_hidden_layers);
  // Each layer has rows of its own in the layout: a size that no model has must not fill the memory with them.
  require(config.num_hidden_layers <= 10'000, "num_hidden_layers must be at most 10000", config.num_hidden_layers);
  require(config.num_attention_heads > 0, "num_attention_heads must be positive", config.num_attention_heads);
  require(config.num_key_value_heads > 0 && config.num_attention_heads % config.num_key_value_heads == 0,
          "num_key_value_heads must divide num_attention_heads (" + std::to_string(config.num_attention_heads) + ")",
          config.num_key_value_heads);
  require(config.head_dim > 0 && config.head_dim % 2 == 0, "head_dim must be even and positive", config.head_dim);
}

}  // namespace ehrjepa::model
