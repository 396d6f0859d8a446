#include "ops/attention/ways.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <map>

#include "memory/device.h"
#include "ops/attention/merged.h"
#include "ops/isa.h"
#include "ops/kernels_of.h"

namespace ehrjepa::ops {
namespace {

using Registered = std::map<std::pair<at::DeviceType, AttentionChoice>, const RangeAttention*>;
Registered& registered() {
  static Registered all;
  return all;
}

const RangeAttention* ranges_of(at::DeviceType device, AttentionChoice way) {
  const auto found = registered().find({device, way});
  return found == registered().end() ? nullptr : found->second;
}

bool has_own_kernels(const at::Tensor& q) {
  static const c10::OperatorHandle function = function_named("ehrjepa::attention_forward");
  return has_kernels(function, q);
}

/// On the CPU, and on what behaves like it, there is one way, known beforehand.
bool is_card(const at::Tensor& q) {
  return q.is_cuda() || ranges_of(q.device().type(), AttentionChoice::kFlash) != nullptr;
}

void wait_for(at::Device device) { c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index()); }

/// Seconds of a call, the least of three after one that is not counted: the first may compile or allocate.
template <typename Run>
double least_seconds(at::Device device, const Run& run) {
  double least = 0.0;
  for (int i = -1; i < 3; ++i) {
    wait_for(device);
    const auto before = std::chrono::steady_clock::now();
    run();
    wait_for(device);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
    if (i == 0 || (i > 0 && took.count() < least)) least = took.count();
  }
  return least;
}

std::string card_of(at::Device device) {
  const auto index = static_cast<std::size_t>(std::max<int>(device.index(), 0));
  const Devices all = memory::devices();
  return index < all.list.size() ? all.list[index].name : "unknown";
}

}  // namespace

void set_attention_ranges(at::DeviceType device, AttentionChoice way, const RangeAttention* ranges) {
  registered()[{device, way}] = ranges;
}

std::vector<AttentionChoice> attention_ways(const at::Tensor& q, bool chosen_rows, bool deterministic) {
  const at::DeviceType device = q.device().type();
  if (!is_card(q)) {
    if (!has_own_kernels(q)) return {AttentionChoice::kSdpa};
    return {AttentionChoice::kKernels, AttentionChoice::kSdpa};
  }
  return attention_ways_on_card({.dtype = q.scalar_type(),
                                 .head_dim = q.size(2),
                                 .chosen_rows = chosen_rows,
                                 .kernels = has_own_kernels(q),
                                 .flash = ranges_of(device, AttentionChoice::kFlash) != nullptr,
                                 .cudnn = ranges_of(device, AttentionChoice::kCudnn) != nullptr,
                                 .deterministic = deterministic});
}

at::Tensor attention_by(AttentionChoice way, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const AttentionLayout& layout, double softmax_scale,
                        const std::optional<std::vector<std::int64_t>>& rows) {
  switch (way) {
    case AttentionChoice::kKernels:
      return attention_kernels(q, k, v, layout, softmax_scale, rows);
    case AttentionChoice::kSdpa:
      return attention_sdpa(q, k, v, layout, softmax_scale, rows);
    default:
      break;
  }
  const RangeAttention* const ranges = ranges_of(q.device().type(), way);
  TORCH_CHECK_VALUE(ranges != nullptr && !rows, "[attention] ", name_of(way), " must be there on ", q.device(),
                    " and asked for all rows");
  return attention_merged(q, k, v, layout, softmax_scale, *ranges);
}

std::string kind_of_call(const std::string& card, const at::Tensor& q, const at::Tensor& k,
                         const AttentionLayout& layout, bool chosen_rows, bool with_gradient) {
  std::int64_t longest = 0;
  for (std::size_t s = 0; s + 1 < layout.cu_seqlens.size(); ++s) {
    longest = std::max(longest, layout.cu_seqlens[s + 1] - layout.cu_seqlens[s]);
  }
  const auto bucket = [](std::int64_t count) {
    return std::to_string(std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1))));
  };
  const char* const branches = layout.branches.empty() ? "none" : layout.isolated ? "isolated" : "causal";
  std::string kind = card;
  std::replace_if(kind.begin(), kind.end(), [](char c) { return c == '\t' || c == '\n'; }, ' ');
  return kind + ", torch " + TORCH_VERSION + ", " + c10::toString(q.scalar_type()) + ", heads " +
         std::to_string(q.size(1)) + "/" + std::to_string(k.size(1)) + " of " + std::to_string(q.size(2)) + ", rows " +
         bucket(q.size(0)) + ", longest " + bucket(longest) + ", branches " + branches +
         (chosen_rows ? ", chosen rows" : "") + (with_gradient ? ", with gradient" : "") +
         (layout.deterministic ? "" : ", any order");
}

AttentionChoice attention_way(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const AttentionLayout& layout, double softmax_scale,
                              const std::optional<std::vector<std::int64_t>>& rows,
                              std::optional<AttentionChoice> wanted, const AttentionTiming& timing) {
  if (!is_card(q)) {
    return has_own_kernels(q) ? attention_choice(best_isa()) : AttentionChoice::kSdpa;
  }
  if (wanted) {
    const std::vector<AttentionChoice> every = attention_ways(q, rows.has_value(), false);
    if (std::find(every.begin(), every.end(), *wanted) != every.end()) return *wanted;
  }
  // Without our kernels everything is libtorch's, and nothing is measured: EHR_JEPA_CUDA_KERNELS=0.
  if (!has_own_kernels(q)) return AttentionChoice::kSdpa;
  const bool with_gradient =
      c10::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
  const auto measured = [&](AttentionChoice way) {
    const c10::DeviceGuard guard(q.device());
    const at::AutoGradMode graph(with_gradient);
    const auto leaf = [&](const at::Tensor& x) { return x.detach().requires_grad_(with_gradient); };
    const at::Tensor q_leaf = leaf(q), k_leaf = leaf(k), v_leaf = leaf(v);
    return least_seconds(q.device(), [&] {
      const at::Tensor out = attention_by(way, q_leaf, k_leaf, v_leaf, layout, softmax_scale, rows);
      if (with_gradient) torch::autograd::grad({out}, {q_leaf, k_leaf, v_leaf}, {out.detach()});
    });
  };
  const std::vector<AttentionChoice> ways = attention_ways(q, rows.has_value(), layout.deterministic);
  if (ways.size() == 1) return ways.front();
  const std::string kind = kind_of_call(card_of(q.device()), q, k, layout, rows.has_value(), with_gradient);
  return timing.fastest->choose(kind, ways, timing.seconds ? timing.seconds : measured);
}

AttentionChoice attention_way(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const AttentionLayout& layout, double softmax_scale,
                              const std::optional<std::vector<std::int64_t>>& rows) {
  static FastestWay fastest(attention_ways_file());
  return attention_way(q, k, v, layout, softmax_scale, rows, wanted_attention(), {&fastest, nullptr});
}

}  // namespace ehrjepa::ops
