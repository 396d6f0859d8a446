#pragma once
#include <string>
#include <vector>

namespace ehrjepa::api {

/// Names of the anti-collapse terms: the keys that `LatentOptions::anti_collapse` may have.
std::vector<std::string> anti_collapse_names();
/// Names of the collapse monitors: the keys that `Losses::collapse` has, in its order.
std::vector<std::string> collapse_monitor_names();

}  // namespace ehrjepa::api
