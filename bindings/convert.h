#pragma once
#include <napi.h>

#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "contract/fields.h"
#include "contract/names.h"
#include "values.h"

/// The one place where values cross the border: both directions follow the field lists and the tables of names in
/// native/contract. A missing, mistyped or unknown field throws a JavaScript TypeError that names it and what was
/// found.

namespace ehrjepa::bindings {

template <typename T>
inline constexpr bool is_typed = false;
template <typename T>
  requires(sizeof(TypedArray<T>) > 0)
inline constexpr bool is_typed<std::vector<T>> = true;

template <typename T>
inline constexpr bool is_vector = false;
template <typename T>
inline constexpr bool is_vector<std::vector<T>> = true;

template <typename T>
inline constexpr bool is_optional = false;
template <typename T>
inline constexpr bool is_optional<std::optional<T>> = true;

/// A value of JavaScript as its type in C++.
template <typename T>
T read(const Place& place, const Napi::Value& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return read_boolean(place, value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return read_text(place, value);
  } else if constexpr (std::is_floating_point_v<T>) {
    return read_number(place, value);
  } else if constexpr (std::is_integral_v<T>) {
    // What JavaScript counts exactly, or less where the type holds less.
    constexpr std::int64_t safe = 9007199254740991;
    constexpr std::int64_t most = sizeof(T) < 8 ? static_cast<std::int64_t>(std::numeric_limits<T>::max()) : safe;
    return static_cast<T>(read_integer(place, value, std::is_unsigned_v<T> ? 0 : -most, most));
  } else if constexpr (std::is_enum_v<T>) {
    const std::string name = read_text(place, value);
    if (const T* const found = value_named<T>(name)) return *found;
    refuse_choice(place, names_of<T>(), value);
  } else if constexpr (is_optional<T>) {
    if (value.IsNull() || value.IsUndefined()) return std::nullopt;
    return read<typename T::value_type>(place, value);
  } else if constexpr (std::is_same_v<T, std::map<std::string, std::string>>) {
    return read_texts(place, value);
  } else if constexpr (std::is_same_v<T, NamedNumbers>) {
    return read_named_numbers(place, value);
  } else if constexpr (is_typed<T>) {
    using Element = typename T::value_type;
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != TypedArray<Element>::type) {
      const std::string name = TypedArray<Element>::name;
      refuse(place, (name[0] == 'I' ? "an " : "a ") + name, value);
    }
    const auto array = value.As<Napi::TypedArrayOf<Element>>();
    return {array.Data(), array.Data() + array.ElementLength()};
  } else if constexpr (is_vector<T>) {
    const Napi::Array array = read_array(place, value);
    T result;
    result.reserve(array.Length());
    for (std::uint32_t i = 0; i < array.Length(); ++i) {
      result.push_back(read<typename T::value_type>(place.item(i), array.Get(i)));
    }
    return result;
  } else {
    const Napi::Object object = read_object(place, value);
    T result;
    std::vector<std::string> names;
    std::apply(
        [&](const auto&... each) {
          const auto read_field = [&](const auto& entry) {
            const std::string& name = names.emplace_back(camel_case(entry.name));
            using Member = std::remove_reference_t<decltype(result.*entry.member)>;
            result.*entry.member = read<Member>(place.member(name), object.Get(name));
          };
          (read_field(each), ...);
        },
        Fields<T>::list);
    refuse_other_keys(place, object, names);
    return result;
  }
}

/// A value of C++ for JavaScript. An absent one is null.
template <typename T>
Napi::Value write(Napi::Env env, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return Napi::Boolean::New(env, value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return Napi::String::New(env, value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return Napi::Number::New(env, static_cast<double>(value));
  } else if constexpr (std::is_enum_v<T>) {
    return Napi::String::New(env, std::string(name_of(value)));
  } else if constexpr (is_optional<T>) {
    return value ? write(env, *value) : env.Null();
  } else if constexpr (std::is_same_v<T, NamedNumbers>) {
    const Napi::Object object = Napi::Object::New(env);
    for (const auto& [name, number] : value) object.Set(camel_case(name), number);
    return object;
  } else if constexpr (is_typed<T>) {
    using Element = typename T::value_type;
    auto array = Napi::TypedArrayOf<Element>::New(env, value.size(), TypedArray<Element>::type);
    if (!value.empty()) std::memcpy(array.Data(), value.data(), value.size() * sizeof(Element));
    return array;
  } else {
    const Napi::Object object = Napi::Object::New(env);
    std::apply([&](const auto&... each) { (object.Set(camel_case(each.name), write(env, value.*each.member)), ...); },
               Fields<T>::list);
    return object;
  }
}

/// What a type of C++ is in JavaScript, as data: for the test that compares the contract with lib/native.ts.
template <typename T>
Napi::Value describe(Napi::Env env) {
  const auto text = [&](const std::string& name) { return Napi::String::New(env, name); };
  if constexpr (std::is_same_v<T, bool>) {
    return text("boolean");
  } else if constexpr (std::is_same_v<T, std::string>) {
    return text("string");
  } else if constexpr (std::is_arithmetic_v<T>) {
    return text("number");
  } else if constexpr (std::is_same_v<T, std::map<std::string, std::string>>) {
    return text("Record<string, string>");
  } else if constexpr (std::is_same_v<T, NamedNumbers>) {
    return text("Record<string, number>");
  } else if constexpr (is_typed<T>) {
    return text(TypedArray<typename T::value_type>::name);
  } else {
    const Napi::Object object = Napi::Object::New(env);
    if constexpr (std::is_enum_v<T>) {
      const Napi::Array names = Napi::Array::New(env);
      for (const Named<T>& entry : Names<T>::table) names.Set(names.Length(), text(std::string(entry.name)));
      object.Set("oneOf", names);
    } else if constexpr (is_optional<T>) {
      object.Set("orNull", describe<typename T::value_type>(env));
    } else if constexpr (is_vector<T>) {
      object.Set("arrayOf", describe<typename T::value_type>(env));
    } else {
      const Napi::Object fields = Napi::Object::New(env);
      std::apply(
          [&](const auto&... each) {
            const auto add = [&](const auto& entry) {
              using Member = std::remove_reference_t<decltype(std::declval<T&>().*entry.member)>;
              fields.Set(camel_case(entry.name), describe<Member>(env));
            };
            (add(each), ...);
          },
          Fields<T>::list);
      object.Set("fields", fields);
    }
    return object;
  }
}

}  // namespace ehrjepa::bindings
