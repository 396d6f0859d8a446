#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "contract/dtype.h"
#include "contract/fields.h"
#include "contract/names.h"

namespace ehrjepa {

/// Which part of the state a file holds. Under LoRA an encoder is saved with its adapters merged, and loading kEncoder
/// gives the base.
enum class StateKind { kEncoder, kTargetEncoder, kAdapters, kTargetAdapters, kPredictor, kOptimizer };
template <>
struct Names<StateKind> {
  static constexpr Named<StateKind> table[] = {
      {"encoder", StateKind::kEncoder},     {"target_encoder", StateKind::kTargetEncoder},
      {"adapters", StateKind::kAdapters},   {"target_adapters", StateKind::kTargetAdapters},
      {"predictor", StateKind::kPredictor}, {"optimizer", StateKind::kOptimizer}};
};

/// Where one tensor lies in a safetensors file. TypeScript parses the header; the bounds are checked again here.
struct TensorEntry {
  std::string name;
  std::string path;
  Dtype dtype = Dtype::kFloat32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  ///< bytes from the start of the file
  std::uint64_t end = 0;
};
template <>
struct Fields<TensorEntry> {
  static constexpr auto list = std::tuple(field("name", &TensorEntry::name), field("path", &TensorEntry::path),
                                          field("dtype", &TensorEntry::dtype), field("shape", &TensorEntry::shape),
                                          field("begin", &TensorEntry::begin), field("end", &TensorEntry::end));
};

enum class Placement {
  kOwned,   ///< memory of our own
  kMapped,  ///< pages of the file, copied when written to; the file must stay as it is while the tensor lives
};
template <>
struct Names<Placement> {
  static constexpr Named<Placement> table[] = {{"owned", Placement::kOwned}, {"mapped", Placement::kMapped}};
};

struct SaveOptions {
  std::map<std::string, std::string> metadata;
  std::optional<Dtype> dtype;                     ///< of every tensor in the file; absent: each tensor's own
  std::optional<std::vector<std::string>> names;  ///< which tensors, in this order; absent: all
};
template <>
struct Fields<SaveOptions> {
  static constexpr auto list = std::tuple(field("metadata", &SaveOptions::metadata),
                                          field("dtype", &SaveOptions::dtype), field("names", &SaveOptions::names));
};

}  // namespace ehrjepa
