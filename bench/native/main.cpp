// Times the native ops against libtorch's own. usage: ehrjepa_bench [word] [--json] [--quick]
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <string>

#include "memory/caching_allocator.h"
#include "native/timing.h"
#include "native/train_step.h"

namespace bench {

std::vector<Quantiles> time_in_turns(const std::vector<std::function<void()>>& calls, const Settings& settings,
                                     c10::Device device) {
  const int launches = device.is_cuda() ? 20 : 1;
  const auto finish = [device] {
    if (device.is_cuda()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
  };
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); };
  std::vector<std::vector<double>> times(calls.size());
  auto start = Clock::now();
  for (int round = -2; round < settings.rounds || since(start) < settings.seconds; ++round) {
    if (round == 0) start = Clock::now();
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const auto before = Clock::now();
      for (int launch = 0; launch < launches; ++launch) calls[i]();
      finish();
      if (round >= 0) times[i].push_back(since(before) / launches);
    }
  }
  std::vector<Quantiles> result;
  for (std::vector<double>& sorted : times) {
    std::sort(sorted.begin(), sorted.end());
    const auto quantile = [&sorted](double share) {
      return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
    };
    result.push_back({quantile(0.2), quantile(0.5), quantile(0.8)});
  }
  return result;
}

namespace {

/// Bytes a second of a copy far larger than any cache, read and write counted: the limit that rows are held against.
double copy_bandwidth(const Settings& settings, c10::Device device) {
  const at::Tensor source = at::ones({std::int64_t{64} << 20}, at::TensorOptions(device).dtype(at::kFloat));
  const at::Tensor target = at::empty_like(source);
  const Quantiles times = time_in_turns({[&] { target.copy_(source); }}, settings, device)[0];
  return 2.0 * static_cast<double>(source.nbytes()) / times.median;
}

/// Multiplications and additions a second of a large product: the limit of ops that are products themselves.
double product_rate(at::ScalarType dtype, const Settings& settings, c10::Device device) {
  const std::int64_t size = device.is_cuda() ? 8192 : 1024;
  const at::Tensor a = at::ones({size, size}, at::TensorOptions(device).dtype(dtype));
  const double flops = 2.0 * static_cast<double>(size * size * size);
  return flops / time_in_turns({[&] { at::linear(a, a); }}, settings, device)[0].median;
}

struct Limits {
  double copy;               ///< bytes a second
  double float32, bfloat16;  ///< flops a second of a product

  double product(const Row& row) const { return row.op.find("bfloat16") == std::string::npos ? float32 : bfloat16; }
};

Limits limits_of(const Settings& settings, c10::Device device) {
  return {copy_bandwidth(settings, device), product_rate(at::kFloat, settings, device),
          product_rate(at::kBFloat16, settings, device)};
}

/// By the device of a row.
using LimitsByDevice = std::map<std::string, Limits>;

void print_table(const std::vector<Row>& rows, const LimitsByDevice& by_device) {
  const Limits& of_cpu = by_device.at("cpu");
  std::printf(
      "libtorch %s, %d threads, %s, copy %.2f GB/s, products %.1f (float32) and %.1f GF/s (bfloat16); every result was "
      "checked before it was timed\n",
      TORCH_VERSION, at::get_num_threads(), at::get_cpu_capability().c_str(), of_cpu.copy / 1e9, of_cpu.float32 / 1e9,
      of_cpu.bfloat16 / 1e9);
  std::printf("%-38s %-40s %-13s %11s %11s %11s %8s %8s %8s %8s %9s\n", "op", "case", "of", "median us", "p20", "p80",
              "GB/s", "of copy", "GF/s", "of prod.", "ours is");
  std::map<std::string, double> ours;
  for (const Row& row : rows) {
    const Limits& limits = by_device.at(row.device);
    const double bytes = row.bytes / row.median_seconds;
    const double flops = row.flops / row.median_seconds;
    std::printf("%-38s %-40s %-13s %11.2f %11.2f %11.2f %8.2f %7.0f%% ", row.op.c_str(), row.name.c_str(),
                row.implementation.c_str(), row.median_seconds * 1e6, row.p20_seconds * 1e6, row.p80_seconds * 1e6,
                bytes / 1e9, 100 * bytes / limits.copy);
    if (flops > 0)
      std::printf("%8.1f %7.0f%%", flops / 1e9, 100 * flops / limits.product(row));
    else
      std::printf("%8s %8s", "", "");
    const std::string key = row.op + row.name;
    if (row.implementation == "ours") {
      ours[key] = row.median_seconds;
      std::printf("\n");
    } else {
      std::printf(" %8.2fx\n", row.median_seconds / ours.at(key));
    }
  }
}

void print_json(const std::vector<Row>& rows, const LimitsByDevice& by_device) {
  const Limits& limits = by_device.at("cpu");
  std::printf(
      "{\"libtorch\":\"%s\",\"threads\":%d,\"cpuCapability\":\"%s\",\"copyBytesPerSecond\":%.6g,"
      "\"float32FlopsPerSecond\":%.6g,\"bfloat16FlopsPerSecond\":%.6g,",
      TORCH_VERSION, at::get_num_threads(), at::get_cpu_capability().c_str(), limits.copy, limits.float32,
      limits.bfloat16);
  if (const auto card = by_device.find("cuda"); card != by_device.end()) {
    std::printf(
        "\"cuda\":{\"copyBytesPerSecond\":%.6g,\"float32FlopsPerSecond\":%.6g,\"bfloat16FlopsPerSecond\":%.6g},",
        card->second.copy, card->second.float32, card->second.bfloat16);
  }
  std::printf("\"rows\":[");
  const char* separator = "";
  for (const Row& row : rows) {
    std::printf(
        "%s{\"op\":\"%s\",\"case\":\"%s\",\"implementation\":\"%s\",\"device\":\"%s\",\"bytes\":%.12g,\"flops\":%.12g,"
        "\"p20Seconds\":%."
        "6g,"
        "\"medianSeconds\":%.6g,\"p80Seconds\":%.6g}",
        separator, row.op.c_str(), row.name.c_str(), row.implementation.c_str(), row.device.c_str(), row.bytes,
        row.flops, row.p20_seconds, row.median_seconds, row.p80_seconds);
    separator = ",";
  }
  std::printf("]}\n");
}

/// ehrjepa_bench train-step VARIANT LAYERS TOKENS STEPS DTYPE [DEVICE [SEQUENCES [CHECKPOINTING [future|all]]]]: what
/// bench/train-step.ts and scripts/gpu_check_steps.py run.
int run_train_step(int count, char** arguments) {
  if (count < 7 || count > 11) {
    std::fprintf(stderr,
                 "usage: ehrjepa_bench train-step VARIANT LAYERS TOKENS STEPS float32|bfloat16 [DEVICE [SEQUENCES "
                 "[none|selective|block [future|all]]]]\n");
    return 2;
  }
  TrainStepSettings settings{.variant = arguments[2],
                             .layers = std::stoll(arguments[3]),
                             .tokens = std::stoll(arguments[4]),
                             .steps = std::stoi(arguments[5]),
                             .bfloat16 = std::strcmp(arguments[6], "bfloat16") == 0};
  if (count > 7) settings.device = arguments[7];
  if (count > 8) settings.sequences = std::stoll(arguments[8]);
  if (count > 9) settings.checkpointing = arguments[9];
  if (count > 10) settings.all_scored = std::strcmp(arguments[10], "all") == 0;
  return train_step(settings);
}

int run(int count, char** arguments) {
  if (count > 1 && std::strcmp(arguments[1], "train-step") == 0) return run_train_step(count, arguments);
  std::string word;
  bool json = false;
  Settings settings{15, 0.3};
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--json") == 0) {
      json = true;
    } else if (std::strcmp(arguments[i], "--quick") == 0) {
      settings = {3, 0.0};
    } else if (arguments[i][0] == '-') {
      std::fprintf(stderr, "[bench] options are --json and --quick but found %s\n", arguments[i]);
      return 2;
    } else {
      word = arguments[i];
    }
  }
  const std::map<std::string, std::vector<Row> (*)(const Settings&)> benchmarks = {
      {"adamw", &adamw},
      {"attention", &attention},
      {"linear", &linear},
      {"linear_cross_entropy", &linear_cross_entropy},
      {"norm_rotary", &norm_rotary},
      {"rms_norm", &rms_norm},
      {"swiglu", &swiglu}};
  // As the engine does: ops are compared, and not how long the system takes to hand out new pages.
  ehrjepa::memory::use_caching_allocator();
  std::vector<Row> rows;
  for (const auto& [name, benchmark] : benchmarks) {
    if (name.find(word) == std::string::npos) continue;
    const std::vector<Row> found = benchmark(settings);
    rows.insert(rows.end(), found.begin(), found.end());
  }
  if (rows.empty()) {
    std::fprintf(stderr, "[bench] no benchmark has \"%s\" in its name\n", word.c_str());
    return 2;
  }
  LimitsByDevice limits = {{"cpu", limits_of(settings, at::kCPU)}};
  if (at::hasCUDA()) limits.emplace("cuda", limits_of(settings, c10::Device(at::kCUDA, 0)));
  (json ? print_json : print_table)(rows, limits);
  return 0;
}

}  // namespace
}  // namespace bench

int main(int count, char** arguments) {
  try {
    return bench::run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
