// The checks of ops without Node, for scripts/gpu-check.sh: `ehrjepa_doctor [--quick] [--list | --op NAME] [DEVICE]`
// prints JSON: all checks, the names of all, or one. Exit code 0 when every op agrees with its reference, 1 when one
// does not, 2 when the checks could not be made.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

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

std::string json_of(const OpCheck& check) {
  const auto boolean = [](bool value) { return value ? "true" : "false"; };
  return "{\"name\": " + quoted(check.name) + ", \"agrees\": " + boolean(agrees(check)) +
         ", \"kernels\": " + boolean(check.kernels) + ", \"float32Error\": " + number(check.float32_error) +
         ", \"bfloat16Error\": " + number(check.bfloat16_error) + ", \"seconds\": " + number(check.seconds) +
         ", \"dtype\": " + quoted(check.dtype) + ", \"flops\": " + number(check.flops) +
         ", \"bytes\": " + number(check.bytes) + "}";
}

std::string listed(const std::vector<std::string>& items) {
  std::string result;
  for (const std::string& item : items) result += (result.empty() ? "\n\t\t" : ",\n\t\t") + item;
  return "[" + result + "\n\t]";
}

void print(const ehrjepa::OpCheckOptions& options, const Devices& devices, const std::vector<std::string>& ops) {
  std::printf("{\n\t\"device\": %s,\n\t\"driver\": %s,\n\t\"ops\": %s\n}\n", quoted(options.device).c_str(),
              quoted(devices.driver).c_str(), listed(ops).c_str());
}

}  // namespace

int main(int count, char** arguments) {
  ehrjepa::OpCheckOptions options;
  const Devices devices = ehrjepa::memory::devices();
  options.device = devices.list.empty() ? "cpu" : "cuda:0";
  bool list = false;
  std::string one;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument == "--quick") {
      options.quick = true;
    } else if (argument == "--list") {
      list = true;
    } else if (argument == "--op" && i + 1 < count) {
      one = arguments[++i];
    } else {
      options.device = argument;
    }
  }
  try {
    bool all = true;
    std::vector<std::string> texts;
    for (const ehrjepa::doctor::NamedCheck& check : ehrjepa::doctor::op_checks(options)) {
      if (!one.empty() && check.name != one) continue;
      if (list) {
        texts.push_back(quoted(check.name));
        continue;
      }
      const OpCheck result = check.run();
      all = all && agrees(result);
      texts.push_back(json_of(result));
    }
    if (texts.empty()) throw std::runtime_error("[doctor] no check has the name " + one);
    print(options, devices, texts);
    return all ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
