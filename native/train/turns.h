#pragma once
#include <atomic>
#include <vector>

#include "distributed/group.h"

namespace ehrjepa::train {

/// What is done with the n-th batch of a rank.
struct Turn {
  bool computes = false;  ///< it carries a loss
  bool predicts = false;  ///< a latent one
};

/// The same of any rank: where ranks share the parameters out, those that compute nothing gather with the others.
/// @param own  equally many on all ranks.
std::vector<Turn> turns_of_ranks(const std::vector<Turn>& own, distributed::Group& group,
                                 const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::train
