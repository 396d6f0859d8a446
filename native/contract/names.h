#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace ehrjepa {

/// A value of an enum and the one name it has outside C++: lower case, words joined as users write them.
template <typename T>
struct Named {
  std::string_view name;
  T value;
};

/// The table of an enum's names, `static constexpr Named<T> table[]`; specialised beside each enum that crosses the
/// border. Both directions, and every list of choices in a message, read it.
template <typename T>
struct Names;

template <typename T>
constexpr std::string_view name_of(T value) {
  for (const Named<T>& entry : Names<T>::table) {
    if (entry.value == value) return entry.name;
  }
  return "unknown";
}

/// The value with this name, or nullptr.
template <typename T>
constexpr const T* value_named(std::string_view name) {
  for (const Named<T>& entry : Names<T>::table) {
    if (entry.name == name) return &entry.value;
  }
  return nullptr;
}

/// "ema, online, views": for messages.
template <typename T>
std::string names_of() {
  std::string result;
  for (const Named<T>& entry : Names<T>::table) {
    if (!result.empty()) result += ", ";
    result += entry.name;
  }
  return result;
}

}  // namespace ehrjepa
