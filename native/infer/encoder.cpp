#include "infer/encoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "core/error.h"
#include "memory/transfer.h"

namespace ehrjepa::infer {

namespace {

void require_numbers(std::span<const std::int32_t> layers, std::int32_t depth) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i] >= 0 && layers[i] <= depth && (i == 0 || layers[i] > layers[i - 1])) continue;
    throw Error("[embed] layers must ascend and lie between 0 and the number of blocks (" + std::to_string(depth) +
                ") but layers[" + std::to_string(i) + "] is " + std::to_string(layers[i]));
  }
  if (layers.empty()) throw Error("[embed] layers must name at least one hidden state but name none");
}

/// (D), of the rows of a prefix, oldest first.
at::Tensor mean_of(const at::Tensor& rows_nD, Pooling pooling) {
  if (pooling == Pooling::kMean) return rows_nD.mean(0);
  const at::Tensor age_n = at::arange(rows_nD.size(0) - 1, -1, -1, rows_nD.options());
  const at::Tensor weights_n = age_n.div(-kRecentTokens).softmax(0);
  return at::matmul(weights_n, rows_nD);
}

/// (B, D) float32, of the hidden states of all rows.
at::Tensor pooled(const at::Tensor& hidden_TD, const std::vector<std::int64_t>& cu_seqlens,
                  std::span<const std::int32_t> ends, Pooling pooling) {
  if (pooling == Pooling::kLast) {
    std::vector<std::int64_t> last_rows;
    for (const std::int32_t end : ends) last_rows.push_back(end - 1);
    return hidden_TD.index_select(0, memory::upload(last_rows, hidden_TD.device())).to(at::kFloat);
  }
  const at::Tensor wide_TD = hidden_TD.to(at::kFloat);
  std::vector<at::Tensor> means;
  for (const std::int32_t end : ends) {
    // The start of the sequence that holds the last row.
    const std::int64_t start = *std::prev(std::lower_bound(cu_seqlens.begin(), cu_seqlens.end(), end));
    means.push_back(mean_of(wide_TD.narrow(0, start, end - start), pooling));
  }
  return at::stack(means);
}

}  // namespace

at::Tensor embed(const model::Qwen3Weights& weights, const Qwen3Config& config, at::ScalarType compute_dtype,
                 const model::PackedTokens& batch, std::span<const std::int32_t> ends, Pooling pooling,
                 std::span<const std::int32_t> layers, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  const std::vector<std::int64_t>& cu_seqlens = batch.layout.cu_seqlens;
  require_numbers(layers, static_cast<std::int32_t>(weights.layers.size()));
  if (ends.empty()) throw Error("[embed] ends must hold at least one row but hold none");
  for (std::size_t i = 0; i < ends.size(); ++i) {
    if (ends[i] < 1 || ends[i] > cu_seqlens.back()) {
      throw Error("[embed] ends must lie between 1 and the number of tokens (" + std::to_string(cu_seqlens.back()) +
                  ") but ends[" + std::to_string(i) + "] is " + std::to_string(ends[i]));
    }
  }
  // Each is pooled when it is there: the hidden states of all blocks never exist together.
  std::vector<at::Tensor> states;
  const auto pool = [&](std::size_t number, const at::Tensor& hidden_TD) {
    if (std::ranges::find(layers, static_cast<std::int32_t>(number)) == layers.end()) return;
    states.push_back(pooled(hidden_TD, cu_seqlens, ends, pooling));
  };
  model::visit_hidden_states(model::cast_weights(weights, compute_dtype), config, batch, cancelled, pool);
  return states.size() == 1 ? states[0] : at::cat(states, 1);
}

}  // namespace ehrjepa::infer
