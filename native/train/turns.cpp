#include "train/turns.h"

#include <ATen/ops/tensor.h>

#include <cstddef>
#include <cstdint>

#include "memory/transfer.h"

namespace ehrjepa::train {

std::vector<Turn> turns_of_ranks(const std::vector<Turn>& own, distributed::Group& group,
                                 const std::atomic<bool>& cancelled) {
  std::vector<std::int64_t> flags;
  for (const Turn& turn : own) {
    flags.push_back(turn.computes ? 1 : 0);
    flags.push_back(turn.predicts ? 1 : 0);
  }
  const at::Tensor all = group.merge(at::tensor(flags, memory::on_host(at::kLong)), cancelled);
  const std::int64_t* const counts = all.const_data_ptr<std::int64_t>();
  std::vector<Turn> result;
  for (std::size_t i = 0; i < own.size(); ++i) result.push_back({counts[2 * i] > 0, counts[2 * i + 1] > 0});
  return result;
}

}  // namespace ehrjepa::train
