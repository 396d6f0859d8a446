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

std::optional<AttentionChoice> wanted_attention(const char* way) {
  if (way == nullptr || *way == '\0') return std::nullopt;
  const std::optional<AttentionChoice> wanted = attention_choice_named(way);
  TORCH_CHECK_VALUE(wanted.has_value(), "[attention] EHR_JEPA_ATTENTION must be kernels, flash, cudnn or sdpa but is ",
                    way);
  return wanted;
}

std::optional<AttentionChoice> wanted_attention() {
  static const std::optional<AttentionChoice> wanted = wanted_attention(std::getenv("EHR_JEPA_ATTENTION"));
  return wanted;
}

}  // namespace ehrjepa::ops
