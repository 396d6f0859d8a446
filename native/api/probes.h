#pragma once
#include <atomic>

#include "contract/boosting.h"
#include "contract/probes.h"
#include "contract/resample.h"

namespace ehrjepa::api {

/// @throws on sizes that do not fit; see solve/ for the equations and their rules.
LogisticResult fit_logistic(const LogisticOptions& options, const std::atomic<bool>& cancelled);
RidgeResult fit_ridge(const RidgeOptions& options, const std::atomic<bool>& cancelled);
BoostingResult fit_boosting(const BoostingOptions& options, const std::atomic<bool>& cancelled);
NewtonResult fit_multinomial(const MultinomialOptions& options, const std::atomic<bool>& cancelled);
NewtonResult fit_cox(const CoxOptions& options, const std::atomic<bool>& cancelled);
NewtonResult fit_hazard(const HazardOptions& options, const std::atomic<bool>& cancelled);
ResampleResult resample(const ResampleOptions& options, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::api
