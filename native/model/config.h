#pragma once
#include <cstdint>

namespace ehrjepa::model {

/// Shape of a Qwen3 decoder; the names are those of HuggingFace's config.json.
struct Qwen3Config {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t head_dim = 0;
  double rms_norm_eps = 1e-6;
  double rope_theta = 1e6;
  bool tie_word_embeddings = true;
  double initializer_range = 0.02;
};

/// @throws Error naming the first rule that is broken.
void check(const Qwen3Config& config);

/// Unique scalars: a tied head counts once.
std::int64_t parameter_count(const Qwen3Config& config);

}  // namespace ehrjepa::model
