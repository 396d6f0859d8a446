#pragma once
#include <atomic>

#include "contract/resample.h"

namespace ehrjepa::solve {

/// Draws as many groups as there are, with replacement, and counts the samples of the drawn ones by cell. Resample
/// number d is a function of (seed, d, number of groups) alone: that of `RandomStream(seed, 'bootstrap',
/// d).integer(groups)` in lib/random.ts, whatever the number of threads.
///
/// @throws Error when offsets or cells break a rule. Cancelled.
ResampleResult resample(const ResampleOptions& options, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::solve
