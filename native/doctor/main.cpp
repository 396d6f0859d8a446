// The checks of ops without Node, for scripts/gpu-check.sh: `ehrjepa_doctor [--quick] [DEVICE]` prints JSON. Exit code
// 0 when every op agrees with its reference, 1 when one does not, 2 when the checks could not be made.
#include <atomic>
#include <cstdio>
#include <exception>
#include <string>

#include "doctor/op_checks.h"
#include "memory/device.h"

namespace {

using ehrjepa::Devices;
using ehrjepa::OpCheck;

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return result + '"';
}

/// JSON has no infinity.
std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return value - value == 0.0 ? text : "null";
}

bool agrees(const OpCheck& check) {
  return check.float32_error <= check.float32_limit && check.bfloat16_error <= check.bfloat16_limit;
}

}  // namespace

int main(int count, char** arguments) {
  ehrjepa::OpCheckOptions options;
  const Devices devices = ehrjepa::memory::devices();
  options.device = devices.list.empty() ? "cpu" : "cuda:0";
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    argument == "--quick" ? void(options.quick = true) : void(options.device = argument);
  }
  try {
    const std::vector<OpCheck> checks = ehrjepa::doctor::check_ops(options, std::atomic<bool>(false));
    bool all = true;
    std::printf("{\n\t\"device\": %s,\n\t\"driver\": %s,\n\t\"ops\": [\n", quoted(options.device).c_str(),
                quoted(devices.driver).c_str());
    for (const OpCheck& check : checks) {
      all = all && agrees(check);
      std::printf(
          "\t\t{\"name\": %s, \"agrees\": %s, \"kernels\": %s, \"float32Error\": %s, \"bfloat16Error\": %s, "
          "\"seconds\": %s, "
          "\"dtype\": %s, \"flops\": %s, \"bytes\": %s}%s\n",
          quoted(check.name).c_str(), agrees(check) ? "true" : "false", check.kernels ? "true" : "false",
          number(check.float32_error).c_str(), number(check.bfloat16_error).c_str(), number(check.seconds).c_str(),
          quoted(check.dtype).c_str(), number(check.flops).c_str(), number(check.bytes).c_str(),
          &check == &checks.back() ? "" : ",");
    }
    std::printf("\t],\n\t\"agrees\": %s\n}\n", all ? "true" : "false");
    return all ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
