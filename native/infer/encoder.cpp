#include "infer/encoder.h"

#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "core/error.h"

namespace ehrjepa::infer {

at::Tensor embed(const model::Qwen3Weights& weights, const Qwen3Config& config, at::ScalarType compute_dtype,
                 const model::PackedTokens& batch, std::span<const std::int32_t> ends, Pooling pooling,
                 const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  const std::vector<std::int64_t>& cu_seqlens = batch.layout.cu_seqlens;
  if (ends.empty()) throw Error("[embed] ends must hold at least one row but hold none");
  for (std::size_t i = 0; i < ends.size(); ++i) {
    if (ends[i] < 1 || ends[i] > cu_seqlens.back()) {
      throw Error("[embed] ends must lie between 1 and the number of tokens (" + std::to_string(cu_seqlens.back()) +
                  ") but ends[" + std::to_string(i) + "] is " + std::to_string(ends[i]));
    }
  }
  const at::Tensor hidden_TD =
      model::qwen3_forward(model::cast_weights(weights, compute_dtype), config, batch, cancelled).to(at::kFloat);
  if (pooling == Pooling::kLast) {
    std::vector<std::int64_t> last_rows;
    for (const std::int32_t end : ends) last_rows.push_back(end - 1);
    return hidden_TD.index_select(0, at::tensor(last_rows, at::kLong));
  }
  std::vector<at::Tensor> means;
  for (const std::int32_t end : ends) {
    // The start of the sequence that holds the last row.
    const std::int64_t start = *std::prev(std::lower_bound(cu_seqlens.begin(), cu_seqlens.end(), end));
    means.push_back(hidden_TD.narrow(0, start, end - start).mean(0));
  }
  return at::stack(means);
}

}  // namespace ehrjepa::infer
