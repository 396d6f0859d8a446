#pragma once
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/isa.h"

namespace ehrjepa::ops {

/// What computes attention.
enum class AttentionChoice {
  kKernels,  ///< ours (cpu.cpp, cuda.cpp)
  kFlash,    ///< libtorch's FlashAttention, two calls merged by log-sum-exp (flash.cpp, merged.cpp)
  kCudnn,    ///< cuDNN's attention, merged as that (cudnn.cpp)
  kSdpa,     ///< libtorch's scaled_dot_product_attention (sdpa.cpp)
};

/// "kernels", "flash", "cudnn", "sdpa"
const char* name_of(AttentionChoice choice);
std::optional<AttentionChoice> attention_choice_named(std::string_view name);

/// On a CPU, the faster of ours and SDPA: ours where it was measured to be (docs/performance.md), else what was there
/// before it.
///
/// @param isa the best that runs.
AttentionChoice attention_choice(Isa isa);

/// What has to be known of a call on a card to say which ways there are.
struct AttentionCall {
  at::ScalarType dtype = at::kFloat;
  std::int64_t head_dim = 0;
  bool chosen_rows = false;  ///< libraries have no such thing
  bool kernels = true;       ///< ours are there
  bool flash = false;        ///< libtorch's are there
  bool cudnn = false;
  bool deterministic = true;  ///< the same bits every time are wanted
};

/// The ways of computing it on a card, ours first. cuDNN's gradient of queries is summed in any order; those of
/// FlashAttention and SDPA are not when they are told so, but SDPA then holds all scores and is no rival. Without
/// bfloat16 there is SDPA alone.
std::vector<AttentionChoice> attention_ways_on_card(const AttentionCall& call);

/// EHR_JEPA_ATTENTION: the way that somebody wants, whatever was measured and whether it is deterministic or not.
/// @param way  may be null. @throws c10::ValueError for a value that is none.
std::optional<AttentionChoice> wanted_attention(const char* way);
/// Of the environment, as it was when it was first asked.
std::optional<AttentionChoice> wanted_attention();

}  // namespace ehrjepa::ops
