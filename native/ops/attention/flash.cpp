#include <ATen/Context.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/empty.h>
#include <torch/headeronly/version.h>

#include "memory/transfer.h"
#include "ops/attention/ways.h"

// The functions are libtorch's own affair and change without notice. Up to `scale` their arguments are the same
// from 2.11 to 2.14; those behind it are left at their defaults.
#if TORCH_VERSION_MAJOR != 2 || TORCH_VERSION_MINOR < 11 || TORCH_VERSION_MINOR > 14
#error "read _flash_attention_forward.h and _flash_attention_backward.h of this libtorch before it is admitted here"
#endif

namespace ehrjepa::ops {
namespace {

/// While it lives FlashAttention sums the gradient of the queries in a fixed order, or in any.
class InFixedOrder {
 public:
  explicit InFixedOrder(bool wanted)
      : before_(at::globalContext().deterministicAlgorithms()),
        only_warned_(at::globalContext().deterministicAlgorithmsWarnOnly()),
        filled_(at::globalContext().deterministicFillUninitializedMemory()) {
    if (!wanted) return;
    at::globalContext().setDeterministicFillUninitializedMemory(false);
    at::globalContext().setDeterministicAlgorithms(true, false);
  }
  ~InFixedOrder() {
    at::globalContext().setDeterministicAlgorithms(before_, only_warned_);
    at::globalContext().setDeterministicFillUninitializedMemory(filled_);
  }
  InFixedOrder(const InFixedOrder&) = delete;
  InFixedOrder& operator=(const InFixedOrder&) = delete;

 private:
  bool before_, only_warned_, filled_;
};

/// (segments + 1) int32 on the card.
at::Tensor lengths_on_card(const std::vector<std::int64_t>& cumulative, at::Device device) {
  return memory::upload(memory::host_vector(cumulative).to(at::kInt), device);
}

std::tuple<at::Tensor, at::Tensor> flash_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                                 const Ranges& ranges, double softmax_scale) {
  const auto result = at::_flash_attention_forward(q, k, v, lengths_on_card(ranges.cu_queries, q.device()),
                                                   lengths_on_card(ranges.cu_keys, q.device()),
                                                   ranges.longest_queries(), ranges.longest_keys(), /*dropout_p=*/0.0,
                                                   ranges.causal, /*return_debug_mask=*/false, softmax_scale);
  const at::Tensor log_sum_NQ = std::get<1>(result);
  TORCH_CHECK(log_sum_NQ.dim() == 2 && log_sum_NQ.size(0) == q.size(1) && log_sum_NQ.size(1) == q.size(0),
              "[attention] FlashAttention must give log-sums of shape (heads, rows) but gives ", log_sum_NQ.sizes());
  return {std::get<0>(result), log_sum_NQ};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> flash_backward(const at::Tensor& grad_out, const at::Tensor& q,
                                                              const at::Tensor& k, const at::Tensor& v,
                                                              const at::Tensor& out, const at::Tensor& log_sum,
                                                              const Ranges& ranges, double softmax_scale) {
  const InFixedOrder order(ranges.deterministic);
  // Of dropout, which there is none of.
  const at::Tensor random_state = at::empty({2}, q.options().dtype(at::kUInt64));
  const at::Tensor unused = at::empty({}, q.options().dtype(at::kUInt64));
  return at::_flash_attention_backward(grad_out, q, k, v, out, log_sum, lengths_on_card(ranges.cu_queries, q.device()),
                                       lengths_on_card(ranges.cu_keys, q.device()), ranges.longest_queries(),
                                       ranges.longest_keys(), /*dropout_p=*/0.0, ranges.causal, random_state, unused,
                                       softmax_scale);
}

const RangeAttention flash_ranges{&flash_forward, &flash_backward};
const bool flash_is_set = (set_attention_ranges(at::kCUDA, AttentionChoice::kFlash, &flash_ranges), true);

}  // namespace
}  // namespace ehrjepa::ops
