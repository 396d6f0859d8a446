#include "distributed/nccl.h"

#ifdef EHR_JEPA_NCCL
#ifndef USE_C10D_NCCL
#define USE_C10D_NCCL
#endif
#include <ATen/Context.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

namespace ehrjepa::distributed {

#ifdef EHR_JEPA_NCCL
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                            std::chrono::milliseconds timeout) {
  // c10d makes none where it sees no card.
  if (!at::hasCUDA()) return {};
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
}
#else
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>&, int, int,
                                            std::chrono::milliseconds) {
  return {};
}
#endif

}  // namespace ehrjepa::distributed
