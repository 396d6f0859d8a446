#include "ops/attention/choice.h"

#include <c10/util/Exception.h>

#include <array>
#include <cstdlib>
#include <string>
#include <utility>

#include "ops/attention/kernel.h"

namespace ehrjepa::ops {
namespace {

constexpr std::array<std::pair<AttentionChoice, const char*>, 4> names = {{{AttentionChoice::kKernels, "kernels"},
                                                                           {AttentionChoice::kFlash, "flash"},
                                                                           {AttentionChoice::kCudnn, "cudnn"},
                                                                           {AttentionChoice::kSdpa, "sdpa"}}};

}  // namespace

const char* name_of(AttentionChoice choice) { return names.at(static_cast<std::size_t>(choice)).second; }

std::optional<AttentionChoice> attention_choice_named(std::string_view name) {
  for (const auto& [choice, known] : names) {
    if (name == known) return choice;
  }
  return std::nullopt;
}

AttentionChoice attention_choice(Isa isa) {
  return isa == Isa::kPlain ? AttentionChoice::kSdpa : AttentionChoice::kKernels;
}

std::vector<AttentionChoice> attention_ways_on_card(const AttentionCall& call) {
  const bool has_head = call.dtype == at::kBFloat16 && kernels::attention_has_head(call.head_dim);
  std::vector<AttentionChoice> ways;
  if (has_head && call.kernels) ways.push_back(AttentionChoice::kKernels);
  if (has_head && call.flash && !call.chosen_rows) ways.push_back(AttentionChoice::kFlash);
  if (has_head && call.cudnn && !call.chosen_rows && !call.deterministic) ways.push_back(AttentionChoice::kCudnn);
  // Where nothing else is there it computes, whatever was wanted.
  if (ways.empty() || !call.deterministic) ways.push_back(AttentionChoice::kSdpa);
  return ways;
}

AttentionWishes attention_wishes(const char* way, const char* deterministic) {
  AttentionWishes wishes;
  if (way != nullptr && *way != '\0') {
    wishes.way = attention_choice_named(way);
    TORCH_CHECK_VALUE(wishes.way.has_value(),
                      "[attention] EHR_JEPA_ATTENTION must be kernels, flash, cudnn or sdpa but is ", way);
  }
  if (deterministic != nullptr && *deterministic != '\0') {
    const std::string value = deterministic;
    TORCH_CHECK_VALUE(value == "0" || value == "1", "[attention] EHR_JEPA_DETERMINISTIC must be 0 or 1 but is ", value);
    wishes.deterministic = value == "1";
  }
  return wishes;
}

const AttentionWishes& attention_wishes() {
  static const AttentionWishes wishes =
      attention_wishes(std::getenv("EHR_JEPA_ATTENTION"), std::getenv("EHR_JEPA_DETERMINISTIC"));
  return wishes;
}

}  // namespace ehrjepa::ops
