#pragma once
#include <c10/core/Device.h>

#include "ops/attention/attention.h"
#include "ops/attention/choice.h"
#include "ops/attention/fastest_way.h"
#include "ops/attention/ranges.h"

namespace ehrjepa::ops {

/// Called when the program is loaded; tests take them away again. @param way  kFlash or kCudnn. @param ranges  null:
/// none.
void set_attention_ranges(at::DeviceType device, AttentionChoice way, const RangeAttention* ranges);

/// The ways that compute this call on its device.
/// @param deterministic  only those that give the same bits every time.
std::vector<AttentionChoice> attention_ways(const at::Tensor& q, bool chosen_rows, bool deterministic);

/// The op by one way. Arguments as of `attention`.
at::Tensor attention_by(AttentionChoice way, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const AttentionLayout& layout, double softmax_scale,
                        const std::optional<std::vector<std::int64_t>>& rows);

/// What calls on a card have in common for which the same way is the fastest: card, libtorch, dtype, heads, branches,
/// gradients, whether the same bits are wanted every time, and the powers of two of rows and of the longest sequence.
std::string kind_of_call(const std::string& card, const at::Tensor& q, const at::Tensor& k,
                         const AttentionLayout& layout, bool chosen_rows, bool with_gradient);

/// How a way is found on a card. Tests give a clock of their own.
struct AttentionTiming {
  FastestWay* fastest;
  /// Seconds of forward and backward by a way; null: measured on the card.
  std::function<double(AttentionChoice)> seconds;
};

/// The way for a call: on a card the wanted one, else the fastest of those that there are; on a CPU as
/// `attention_choice`.
AttentionChoice attention_way(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const AttentionLayout& layout, double softmax_scale,
                              const std::optional<std::vector<std::int64_t>>& rows,
                              std::optional<AttentionChoice> wanted, const AttentionTiming& timing);

/// That of this process: what the environment wants, times in `attention_ways_file`.
AttentionChoice attention_way(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const AttentionLayout& layout, double softmax_scale,
                              const std::optional<std::vector<std::int64_t>>& rows);

}  // namespace ehrjepa::ops
