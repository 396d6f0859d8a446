#include "objective/collapse/monitors.h"

namespace ehrjepa::objective {

NamedNumbers read_collapse_monitors(const LatentReading& reading) {
  NamedNumbers result;
  for (const CollapseMonitor& monitor : collapse_monitors) result.emplace_back(monitor.name, monitor.value(reading));
  return result;
}

}  // namespace ehrjepa::objective
