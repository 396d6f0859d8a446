#pragma once
#include <string_view>
#include <tuple>

namespace ehrjepa {

/// A member and its name.
template <typename Struct, typename Member>
struct Field {
  std::string_view name;
  Member Struct::* member;
};
template <typename Struct, typename Member>
constexpr Field<Struct, Member> field(std::string_view name, Member Struct::* member) {
  return {name, member};
}

/// The fields of a struct that crosses the border, `static constexpr auto list`, a tuple of `Field`; specialised beside
/// each. The one list that both directions of the border follow: a new option is a member and a row.
template <typename Struct>
struct Fields;

/// A struct that inherits lists its own fields after those of its base.
template <typename Base, typename... Own>
constexpr auto fields_after(Own... own) {
  return std::tuple_cat(Fields<Base>::list, std::tuple(own...));
}

}  // namespace ehrjepa
