#include "objective/collapse/monitors.h"

namespace ehrjepa::objective {

std::vector<at::Tensor> measure_collapse(const LatentReading& reading) {
  std::vector<at::Tensor> result;
  for (const CollapseMonitor& monitor : collapse_monitors) result.push_back(monitor.measure(reading));
  return result;
}

NamedNumbers collapse_numbers(const std::vector<at::Tensor>& measured) {
  NamedNumbers result;
  for (std::size_t i = 0; i < measured.size(); ++i) {
    const CollapseMonitor& monitor = collapse_monitors[i];
    result.emplace_back(monitor.name,
                        monitor.value == nullptr ? measured[i].item<double>() : monitor.value(measured[i]));
  }
  return result;
}

}  // namespace ehrjepa::objective
