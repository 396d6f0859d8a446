#include "values.h"

#include <algorithm>
#include <cctype>
#include <cmath>

namespace ehrjepa::bindings {
namespace {

std::string kind_of(const Napi::Value& value) {
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsTypedArray()) return "another typed array";
  if (value.IsArray()) return "an array";
  switch (value.Type()) {
    case napi_boolean:
      return "a boolean";
    case napi_number:
      return value.ToString().Utf8Value();
    case napi_string:  // never its text, which may be a patient's
      return "a string";
    case napi_bigint:
      return "a bigint";
    case napi_function:
      return "a function";
    default:
      return "an object";
  }
}

std::string shown(const Place& place) {
  return "[" + place.scope + "] " + (place.path.empty() ? "" : place.path + " ");
}

}  // namespace

void refuse(const Place& place, const std::string& expected, const Napi::Value& found) {
  throw Napi::TypeError::New(found.Env(), shown(place) + "must be " + expected + " but is " + kind_of(found));
}

std::string camel_case(std::string_view name) {
  std::string result;
  bool raise = false;
  for (const char letter : name) {
    if (letter == '_') {
      raise = true;
      continue;
    }
    result += raise ? static_cast<char>(std::toupper(static_cast<unsigned char>(letter))) : letter;
    raise = false;
  }
  return result;
}

std::string snake_case(std::string_view name) {
  std::string result;
  for (const char letter : name) {
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isupper(byte) != 0) result += '_';
    result += static_cast<char>(std::tolower(byte));
  }
  return result;
}

double read_number(const Place& place, const Napi::Value& value) {
  if (!value.IsNumber() || !std::isfinite(value.As<Napi::Number>().DoubleValue())) {
    refuse(place, "a finite number", value);
  }
  return value.As<Napi::Number>().DoubleValue();
}

std::int64_t read_integer(const Place& place, const Napi::Value& value, std::int64_t least, std::int64_t most) {
  const double number = read_number(place, value);
  if (number != std::floor(number) || number < static_cast<double>(least) || number > static_cast<double>(most)) {
    refuse(place, "an integer in [" + std::to_string(least) + ", " + std::to_string(most) + "]", value);
  }
  return static_cast<std::int64_t>(number);
}

bool read_boolean(const Place& place, const Napi::Value& value) {
  if (!value.IsBoolean()) refuse(place, "a boolean", value);
  return value.As<Napi::Boolean>().Value();
}

std::string read_text(const Place& place, const Napi::Value& value) {
  if (!value.IsString()) refuse(place, "a string", value);
  return value.As<Napi::String>().Utf8Value();
}

void refuse_choice(const Place& place, const std::string& choices, const Napi::Value& found) {
  throw Napi::TypeError::New(found.Env(), shown(place) + "must be one of " + choices + " but is \"" +
                                              found.As<Napi::String>().Utf8Value() + "\"");
}

Napi::Array read_array(const Place& place, const Napi::Value& value) {
  if (!value.IsArray()) refuse(place, "an array", value);
  return value.As<Napi::Array>();
}

Napi::Object read_object(const Place& place, const Napi::Value& value) {
  if (!value.IsObject() || value.IsArray() || value.IsTypedArray() || value.IsFunction()) {
    refuse(place, "an object", value);
  }
  return value.As<Napi::Object>();
}

std::map<std::string, std::string> read_texts(const Place& place, const Napi::Value& value) {
  const Napi::Object object = read_object(place, value);
  const Napi::Array names = object.GetPropertyNames();
  std::map<std::string, std::string> result;
  for (std::uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>().Utf8Value();
    result[name] = read_text(place.member(name), object.Get(name));
  }
  return result;
}

NamedNumbers read_named_numbers(const Place& place, const Napi::Value& value) {
  const Napi::Object object = read_object(place, value);
  const Napi::Array names = object.GetPropertyNames();
  NamedNumbers result;
  for (std::uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>().Utf8Value();
    result.emplace_back(snake_case(name), read_number(place.member(name), object.Get(name)));
  }
  return result;
}

void refuse_other_keys(const Place& place, const Napi::Object& object, const std::vector<std::string>& known) {
  const Napi::Array names = object.GetPropertyNames();
  for (std::uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>().Utf8Value();
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string list;
    for (const std::string& each : known) list += (list.empty() ? "" : ", ") + each;
    throw Napi::TypeError::New(object.Env(), shown(place) + "has no field \"" + name + "\"; it has " + list);
  }
}

}  // namespace ehrjepa::bindings
