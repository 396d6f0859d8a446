#pragma once
#include <napi.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "contract/losses.h"

namespace ehrjepa::bindings {

/// Where a value stands, for messages: `[step options] latent.loss must be ...`.
struct Place {
  std::string scope;
  std::string path;
  Place member(const std::string& name) const { return {scope, path.empty() ? name : path + "." + name}; }
  Place item(std::uint32_t index) const { return {scope, path + "[" + std::to_string(index) + "]"}; }
};

/// Throws a JavaScript TypeError: where, the rule, what was found.
[[noreturn]] void refuse(const Place& place, const std::string& expected, const Napi::Value& found);

/// The same for a name that is not among the choices.
[[noreturn]] void refuse_choice(const Place& place, const std::string& choices, const Napi::Value& found);

/// `cu_seqlens` as JavaScript writes it: `cuSeqlens`.
std::string camel_case(std::string_view name);
/// The way back.
std::string snake_case(std::string_view name);

// Scalars, strings and arrays from JavaScript. Typed arrays are copied: JavaScript may detach or change them while
// another thread reads.

double read_number(const Place& place, const Napi::Value& value);
std::int64_t read_integer(const Place& place, const Napi::Value& value, std::int64_t least, std::int64_t most);
bool read_boolean(const Place& place, const Napi::Value& value);
std::string read_text(const Place& place, const Napi::Value& value);
Napi::Array read_array(const Place& place, const Napi::Value& value);
Napi::Object read_object(const Place& place, const Napi::Value& value);
std::map<std::string, std::string> read_texts(const Place& place, const Napi::Value& value);
NamedNumbers read_named_numbers(const Place& place, const Napi::Value& value);
/// @throws when the object has a key that is not among `known`.
void refuse_other_keys(const Place& place, const Napi::Object& object, const std::vector<std::string>& known);

/// The typed array that holds elements of a type.
template <typename T>
struct TypedArray;
template <>
struct TypedArray<std::int32_t> {
  static constexpr const char* name = "Int32Array";
  static constexpr napi_typedarray_type type = napi_int32_array;
};
template <>
struct TypedArray<float> {
  static constexpr const char* name = "Float32Array";
  static constexpr napi_typedarray_type type = napi_float32_array;
};
template <>
struct TypedArray<double> {
  static constexpr const char* name = "Float64Array";
  static constexpr napi_typedarray_type type = napi_float64_array;
};
template <>
struct TypedArray<std::uint8_t> {
  static constexpr const char* name = "Uint8Array";
  static constexpr napi_typedarray_type type = napi_uint8_array;
};

}  // namespace ehrjepa::bindings
