#include "infer/score.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include "core/error.h"
#include "ops/linear_cross_entropy/linear_cross_entropy.h"

namespace ehrjepa::infer {

ScoreTensors score(const model::Qwen3Weights& weights, const Qwen3Config& config, at::ScalarType compute_dtype,
                   const model::PackedTokens& batch, bool with_hidden, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  const model::Qwen3Weights cast = model::cast_weights(weights, compute_dtype);
  const at::Tensor hidden_TD = model::qwen3_forward(cast, config, batch, cancelled);
  ScoreTensors result;
  const auto sequences = static_cast<std::int64_t>(batch.layout.cu_seqlens.size()) - 1;
  result.log_probabilities = at::empty({hidden_TD.size(0) - sequences}, hidden_TD.options().dtype(at::kFloat));
  for (std::size_t s = 0; s + 1 < batch.layout.cu_seqlens.size(); ++s) {
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    const std::int64_t first = batch.layout.cu_seqlens[s];
    const std::int64_t count = batch.layout.cu_seqlens[s + 1] - first - 1;  // the last predicts nothing in its sequence
    // One fewer than rows for each sequence before this one.
    result.log_probabilities.narrow(0, first - static_cast<std::int64_t>(s), count)
        .copy_(ops::label_log_probabilities(hidden_TD.narrow(0, first, count), cast.lm_head,
                                            batch.tokens.narrow(0, first + 1, count)));
  }
  if (with_hidden) result.hidden = hidden_TD.to(at::kFloat).contiguous();
  return result;
}

}  // namespace ehrjepa::infer
