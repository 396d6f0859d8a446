#include "api/tables.h"

#include "objective/anti_collapse/terms.h"
#include "objective/collapse/monitors.h"

namespace ehrjepa::api {

std::vector<std::string> anti_collapse_names() {
  std::vector<std::string> names;
  for (const objective::AntiCollapseTerm& term : objective::anti_collapse_terms) names.emplace_back(term.name);
  return names;
}

std::vector<std::string> collapse_monitor_names() {
  std::vector<std::string> names;
  for (const objective::CollapseMonitor& monitor : objective::collapse_monitors) names.emplace_back(monitor.name);
  return names;
}

}  // namespace ehrjepa::api
