#pragma once
#include <napi.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine.h"

namespace ehrjepa::bindings {

// The one place where a name crosses the border: camelCase in JavaScript, snake_case in C++. A missing or mistyped
// field throws a JavaScript TypeError that names the argument, the field and what was found.

/// Reads fields of one argument object.
class FieldReader {
 public:
  /// @param scope  what the object is, for messages: "engine options".
  FieldReader(const char* scope, const Napi::Value& value);
  double number(const char* name) const;
  std::int64_t integer(const char* name) const;
  bool boolean(const char* name) const;
  std::string text(const char* name) const;
  std::vector<std::int32_t> int32s(const char* name) const;
  std::vector<float> float32s(const char* name) const;
  std::vector<std::uint8_t> uint8s(const char* name) const;
  /// A plain array of finite numbers.
  std::vector<double> numbers(const char* name) const;

 private:
  Napi::Value field(const char* name) const;
  template <typename T>
  std::vector<T> typed_array(const char* name, napi_typedarray_type type, const char* expected) const;
  [[noreturn]] void refuse(const char* name, const char* expected, const Napi::Value& found) const;
  const char* scope_;
  Napi::Object object_;
};

std::uint32_t job_id(const Napi::Value& value);
std::vector<float> float32_argument(const char* name, const Napi::Value& value);
bool boolean_argument(const char* name, const Napi::Value& value);
std::string text_argument(const char* name, const Napi::Value& value);
api::EngineOptions engine_options(const Napi::Value& value);
api::PackedBatch packed_batch(const Napi::Value& value);
api::TrainingBatch training_batch(const Napi::Value& value);
std::vector<api::TrainingBatch> training_batches(const Napi::Value& value);
api::LossOptions loss_options(const Napi::Value& value);
api::StepOptions step_options(const Napi::Value& value);
api::StateKind state_kind(const Napi::Value& value);
api::Pooling pooling(const Napi::Value& value);
api::EncoderChoice encoder_choice(const Napi::Value& value);
std::map<std::string, std::string> metadata(const Napi::Value& value);
std::vector<api::TensorEntry> tensor_entries(const Napi::Value& value);
std::vector<api::StateKind> state_kinds(const Napi::Value& value);
api::SaveOptions save_options(const Napi::Value& value);
api::Placement placement(const Napi::Value& value);

Napi::Float32Array float32_array(Napi::Env env, const std::vector<float>& values);
Napi::Object to_object(Napi::Env env, const api::Losses& losses);
Napi::Object to_object(Napi::Env env, const api::StepResult& result);

}  // namespace ehrjepa::bindings
