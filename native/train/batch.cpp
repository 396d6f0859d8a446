#include "train/batch.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <string>

#include "core/error.h"

namespace ehrjepa::train {
namespace {

at::Tensor long_tensor(std::span<const std::int32_t> values) {
  at::Tensor result = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), result.data_ptr<std::int64_t>());
  return result;
}

[[noreturn]] void fail(const std::string& message) { throw Error("[batch] " + message); }

}  // namespace

model::PackedTokens packed_tokens(std::span<const std::int32_t> tokens, std::span<const std::int32_t> cu_seqlens,
                                  std::span<const std::int32_t> position_ids, std::int64_t vocab_size) {
  const auto total = static_cast<std::int64_t>(tokens.size());
  if (cu_seqlens.size() < 2)
    fail("cu_seqlens must hold at least 2 entries but holds " + std::to_string(cu_seqlens.size()));
  if (cu_seqlens.front() != 0)
    fail("cu_seqlens must start with 0 but starts with " + std::to_string(cu_seqlens.front()));
  if (cu_seqlens.back() != total) {
    fail("cu_seqlens must end at total_tokens (" + std::to_string(total) + ") but ends at " +
         std::to_string(cu_seqlens.back()));
  }
  for (std::size_t i = 1; i < cu_seqlens.size(); ++i) {
    if (cu_seqlens[i] <= cu_seqlens[i - 1]) {
      fail("cu_seqlens must ascend but entry " + std::to_string(i) + " is " + std::to_string(cu_seqlens[i]) +
           " after " + std::to_string(cu_seqlens[i - 1]));
    }
  }
  if (position_ids.size() != tokens.size()) {
    fail("position_ids must have one entry per token (" + std::to_string(total) + ") but has " +
         std::to_string(position_ids.size()));
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab_size) {
      fail("tokens must lie in [0, " + std::to_string(vocab_size) + ") but token " + std::to_string(i) + " is " +
           std::to_string(tokens[i]));
    }
    if (position_ids[i] < 0) {
      fail("position_ids must not be negative but entry " + std::to_string(i) + " is " +
           std::to_string(position_ids[i]));
    }
  }
  return {long_tensor(tokens), long_tensor(position_ids), {cu_seqlens.begin(), cu_seqlens.end()}};
}

WorldModelBatch world_model_batch(model::PackedTokens clean, std::span<const std::int32_t> context_lengths,
                                  std::span<const std::int32_t> masked_positions, std::int64_t mask_token_id,
                                  bool score_all) {
  const std::size_t sequences = clean.cu_seqlens.size() - 1;
  if (context_lengths.size() != sequences) {
    fail("context_lengths must have one entry per sequence (" + std::to_string(sequences) + ") but has " +
         std::to_string(context_lengths.size()));
  }
  std::vector<std::int64_t> scored;
  std::vector<std::int64_t> context_rows;
  std::size_t next_mask = 0;
  for (std::size_t s = 0; s < sequences; ++s) {
    const std::int64_t begin = clean.cu_seqlens[s];
    const std::int64_t end = clean.cu_seqlens[s + 1];
    const std::int64_t future = begin + context_lengths[s];
    if (context_lengths[s] < 1 || future >= end) {
      fail("context_lengths must lie in [1, sequence length) but sequence " + std::to_string(s) + " of " +
           std::to_string(end - begin) + " tokens has " + std::to_string(context_lengths[s]));
    }
    for (std::int64_t row = score_all ? begin : future - 1; row + 1 < end; ++row) scored.push_back(row);
    for (; next_mask < masked_positions.size() && masked_positions[next_mask] < end; ++next_mask) {
      const std::int64_t position = masked_positions[next_mask];
      if (position < future || (next_mask > 0 && position <= masked_positions[next_mask - 1])) {
        fail("masked_positions must ascend and lie in a future but entry " + std::to_string(next_mask) + " is " +
             std::to_string(position) + " (future of sequence " + std::to_string(s) + ": " + std::to_string(future) +
             " to " + std::to_string(end - 1) + ")");
      }
      context_rows.push_back(future - 1);
    }
  }
  if (next_mask != masked_positions.size()) {
    fail("masked_positions must lie below total_tokens (" + std::to_string(clean.cu_seqlens.back()) + ") but entry " +
         std::to_string(next_mask) + " is " + std::to_string(masked_positions[next_mask]));
  }
  WorldModelBatch batch;
  batch.masked_positions = long_tensor(masked_positions);
  batch.context_rows = at::tensor(context_rows, at::kLong);
  batch.scored_rows = at::tensor(scored, at::kLong);
  batch.labels = clean.tokens.index_select(0, batch.scored_rows + 1);
  batch.masked_tokens = clean.tokens.index_fill(0, batch.masked_positions, mask_token_id);
  batch.clean = std::move(clean);
  return batch;
}

}  // namespace ehrjepa::train
