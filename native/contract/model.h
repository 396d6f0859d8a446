#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "contract/dtype.h"
#include "contract/fields.h"
#include "contract/names.h"

namespace ehrjepa {

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
template <>
struct Fields<Qwen3Config> {
  static constexpr auto list = std::tuple(
      field("vocab_size", &Qwen3Config::vocab_size), field("hidden_size", &Qwen3Config::hidden_size),
      field("intermediate_size", &Qwen3Config::intermediate_size),
      field("num_hidden_layers", &Qwen3Config::num_hidden_layers),
      field("num_attention_heads", &Qwen3Config::num_attention_heads),
      field("num_key_value_heads", &Qwen3Config::num_key_value_heads), field("head_dim", &Qwen3Config::head_dim),
      field("rms_norm_eps", &Qwen3Config::rms_norm_eps), field("rope_theta", &Qwen3Config::rope_theta),
      field("tie_word_embeddings", &Qwen3Config::tie_word_embeddings),
      field("initializer_range", &Qwen3Config::initializer_range));
};

enum class PredictorKind { kIdentity, kMlp, kTransformer };
template <>
struct Names<PredictorKind> {
  static constexpr Named<PredictorKind> table[] = {{"identity", PredictorKind::kIdentity},
                                                   {"mlp", PredictorKind::kMlp},
                                                   {"transformer", PredictorKind::kTransformer}};
};

/// Shape of a predictor; a field that its kind does not read is 0.
struct PredictorOptions {
  PredictorKind kind = PredictorKind::kIdentity;
  std::int64_t width = 0;   ///< mlp: hidden layer; transformer: its own width, even
  std::int64_t layers = 0;  ///< transformer
  std::int64_t heads = 0;   ///< transformer; divides the width
  /// Transformer: predictions start from the context's state and the time ahead alone, without a branch row.
  bool from_state = false;
};
template <>
struct Fields<PredictorOptions> {
  static constexpr auto list =
      std::tuple(field("kind", &PredictorOptions::kind), field("width", &PredictorOptions::width),
                 field("layers", &PredictorOptions::layers), field("heads", &PredictorOptions::heads),
                 field("from_state", &PredictorOptions::from_state));
};

/// Low-rank adapters over a frozen base.
struct LoraOptions {
  std::int64_t rank = 64;
  double alpha = 128.0;
  double dropout = 0.1;              ///< of the adapter's input, in training alone
  std::vector<std::string> targets;  ///< of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj
};
template <>
struct Fields<LoraOptions> {
  static constexpr auto list =
      std::tuple(field("rank", &LoraOptions::rank), field("alpha", &LoraOptions::alpha),
                 field("dropout", &LoraOptions::dropout), field("targets", &LoraOptions::targets));
};

/// A weight of a decoder, by its name in HuggingFace files.
struct WeightShape {
  std::string name;
  std::vector<std::int64_t> shape;  ///< PyTorch's layout: (out, in)
};
template <>
struct Fields<WeightShape> {
  static constexpr auto list = std::tuple(field("name", &WeightShape::name), field("shape", &WeightShape::shape));
};

/// Which results of the encoder's blocks wait in memory for the backward pass; the others are computed again.
enum class ActivationCheckpointing {
  kNone,       ///< all of them
  kBlock,      ///< the input of each block
  kSelective,  ///< all of attention, and the input of each MLP
};
template <>
struct Names<ActivationCheckpointing> {
  static constexpr Named<ActivationCheckpointing> table[] = {{"none", ActivationCheckpointing::kNone},
                                                             {"block", ActivationCheckpointing::kBlock},
                                                             {"selective", ActivationCheckpointing::kSelective}};
};

/// What an engine is made from.
struct EngineOptions {
  Qwen3Config config;
  PredictorOptions predictor;
  Dtype compute_dtype = Dtype::kFloat32;  ///< of the forward and backward pass; float32 or bfloat16
  /// float32 trains; bfloat16 takes half the memory and is frozen (a model that is only read, or the base of LoRA) but
  /// for `stochastic_rounding`.
  Dtype parameter_dtype = Dtype::kFloat32;
  /// Trains bfloat16 parameters, with moments and EMA in bfloat16 as well; not with `lora`.
  bool stochastic_rounding = false;
  ActivationCheckpointing activation_checkpointing = ActivationCheckpointing::kNone;
  std::optional<LoraOptions> lora = std::nullopt;  ///< train adapters over a frozen base
  std::vector<std::string> frozen = {};            ///< weights that training leaves alone, by name
  std::uint64_t seed = 0;                          ///< of the random weights
  /// Leaves the encoder without memory until its tensors are loaded, instead of drawing random weights.
  bool encoder_from_files = false;
  /// The same bits every time on the same device; else also what is faster and sums in any order, on a card alone.
  bool deterministic = true;
  std::int64_t threads = 0;    ///< 0: libtorch's default
  std::string device = "cpu";  ///< or "cuda:N"
};
template <>
struct Fields<EngineOptions> {
  static constexpr auto list = std::tuple(
      field("config", &EngineOptions::config), field("predictor", &EngineOptions::predictor),
      field("compute_dtype", &EngineOptions::compute_dtype), field("parameter_dtype", &EngineOptions::parameter_dtype),
      field("stochastic_rounding", &EngineOptions::stochastic_rounding),
      field("activation_checkpointing", &EngineOptions::activation_checkpointing), field("lora", &EngineOptions::lora),
      field("frozen", &EngineOptions::frozen), field("seed", &EngineOptions::seed),
      field("encoder_from_files", &EngineOptions::encoder_from_files),
      field("deterministic", &EngineOptions::deterministic), field("threads", &EngineOptions::threads),
      field("device", &EngineOptions::device));
};

}  // namespace ehrjepa
