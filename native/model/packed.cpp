#include "model/packed.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "memory/transfer.h"

namespace ehrjepa::model {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error("[batch] " + message); }

}  // namespace

PackedTokens PackedTokens::trunk() const {
  const std::int64_t rows = layout.trunk_rows();
  PackedTokens result{tokens.narrow(0, 0, rows), position_ids.narrow(0, 0, rows), layout};
  result.layout.branches.clear();
  result.layout.isolated = false;
  return result;
}

at::Tensor long_tensor(std::span<const std::int32_t> values, at::Device device) {
  const at::Tensor host = at::empty({static_cast<std::int64_t>(values.size())}, memory::on_host(at::kLong));
  std::copy(values.begin(), values.end(), host.data_ptr<std::int64_t>());
  return memory::upload(host, device);
}

PackedTokens packed_tokens(std::span<const std::int32_t> tokens, std::span<const std::int32_t> cu_seqlens,
                           std::span<const std::int32_t> position_ids, std::int64_t vocab_size, at::Device device) {
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
  return {long_tensor(tokens, device),
          long_tensor(position_ids, device),
          {{cu_seqlens.begin(), cu_seqlens.end()}, {}, false}};
}

}  // namespace ehrjepa::model
