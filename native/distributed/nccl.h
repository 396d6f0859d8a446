#pragma once
#include <chrono>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace ehrjepa::distributed {

/// c10d's process group over NCCL, which connects the cards of all ranks when the first tensor is sent; null in a build
/// without it and on a machine without a card.
/// @param timeout  of a collective, after which c10d ends the process: longer than what the caller waits itself.
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                            std::chrono::milliseconds timeout);

}  // namespace ehrjepa::distributed
