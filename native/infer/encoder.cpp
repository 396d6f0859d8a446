#include "infer/encoder.h"

#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include "memory/transfer.h"

namespace ehrjepa::infer {

at::Tensor embed(const model::Qwen3Weights& weights, const Qwen3Config& config, at::ScalarType compute_dtype,
                 const model::PackedTokens& batch, Pooling pooling, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  const at::Tensor hidden_TD =
      model::qwen3_forward(model::cast_weights(weights, compute_dtype), config, batch, cancelled).to(at::kFloat);
  const std::vector<std::int64_t>& cu_seqlens = batch.layout.cu_seqlens;
  if (pooling == Pooling::kLast) {
    std::vector<std::int64_t> last_rows;
    for (std::size_t i = 1; i < cu_seqlens.size(); ++i) last_rows.push_back(cu_seqlens[i] - 1);
    return hidden_TD.index_select(0, memory::upload(last_rows, hidden_TD.device()));
  }
  std::vector<at::Tensor> means;
  for (std::size_t i = 1; i < cu_seqlens.size(); ++i) {
    means.push_back(hidden_TD.narrow(0, cu_seqlens[i - 1], cu_seqlens[i] - cu_seqlens[i - 1]).mean(0));
  }
  return at::stack(means);
}

}  // namespace ehrjepa::infer
