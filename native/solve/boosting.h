#pragma once
#include <atomic>

#include "contract/boosting.h"

namespace ehrjepa::solve {

/// Gradient boosting of regression trees on histograms (Friedman 2001; Ke et al. 2017, "LightGBM").
///
/// Columns are cut into bins on the training rows: between all distinct values, or at quantiles when there are more.
/// Each tree is grown leaf by leaf, at the split with the largest gain
///
///   G_l^2 / (H_l + l2) + G_r^2 / (H_r + l2) - G^2 / (H + l2)
///
/// with G and H the sums of first and second derivatives of the loss; a leaf adds -learning_rate G / (H + l2). Growing
/// stops when `patience` trees have not made the loss on tuning smaller; the trees up to its smallest are kept.
/// Sums run in one order on one thread and nothing is drawn: the same input gives the same bytes.
/// The losses are in boosting_loss.h.
/// @throws Error for sizes that do not fit, numbers that are not finite, labels of kLogistic that are neither 0 nor 1
/// or
///         all alike, times of kCox without an event, or options out of range. Cancelled.
BoostingResult boost(const BoostingOptions& options, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::solve
