#include "infer/score.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logsumexp.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "core/error.h"

namespace ehrjepa::infer {

ScoreTensors score(const model::Qwen3Weights& weights, const Qwen3Config& config, at::ScalarType compute_dtype,
                   const model::PackedTokens& batch, bool with_hidden, const std::atomic<bool>& cancelled) {
  const at::NoGradGuard no_grad;
  const model::Qwen3Weights cast = model::cast_weights(weights, compute_dtype);
  const at::Tensor hidden_TD = model::qwen3_forward(cast, config, batch, cancelled);
  ScoreTensors result;
  const auto sequences = static_cast<std::int64_t>(batch.layout.cu_seqlens.size()) - 1;
  result.log_probabilities = at::empty({hidden_TD.size(0) - sequences}, at::TensorOptions().dtype(at::kFloat));
  // 256 MiB of float32 logits at a time.
  const std::int64_t block = std::max<std::int64_t>(1, (std::int64_t{64} << 20) / config.vocab_size);
  for (std::size_t s = 0; s + 1 < batch.layout.cu_seqlens.size(); ++s) {
    const std::int64_t last = batch.layout.cu_seqlens[s + 1] - 1;  // predicts nothing in its sequence
    for (std::int64_t row = batch.layout.cu_seqlens[s]; row < last; row += block) {
      if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
      const std::int64_t count = std::min(block, last - row);
      const at::Tensor logits_RV = at::linear(hidden_TD.narrow(0, row, count), cast.lm_head).to(at::kFloat);
      const at::Tensor labels_R1 = batch.tokens.narrow(0, row + 1, count).unsqueeze(1);
      const at::Tensor chosen_R = logits_RV.gather(1, labels_R1).squeeze(1);
      // One fewer than rows for each sequence before this one.
      result.log_probabilities.narrow(0, row - static_cast<std::int64_t>(s), count)
          .copy_(chosen_R - at::logsumexp(logits_RV, {{1}}));
    }
  }
  if (with_hidden) result.hidden = hidden_TD.to(at::kFloat).contiguous();
  return result;
}

}  // namespace ehrjepa::infer
