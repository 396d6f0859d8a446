#pragma once
#include <c10/core/Device.h>

#include <functional>
#include <string>
#include <vector>

/// Benchmarks of native ops: each checks its results first, then times; main.cpp prints the rows.
namespace bench {

struct Row {
  std::string op;              ///< op, pass and dtype: `rms_norm forward bfloat16`
  std::string name;            ///< case of test/cases
  std::string implementation;  ///< `ours`, or the peer it is compared with
  double bytes;                ///< least memory traffic of one call: inputs read once, outputs written once
  double flops;                ///< of its matrix products; 0: it has none
  double p20_seconds, median_seconds, p80_seconds;
  std::string device = "cpu";  ///< or "cuda"
};

struct Settings {
  int rounds;      ///< calls of each, at least
  double seconds;  ///< and at least this long
};

struct Quantiles {
  double p20, median, p80;
};

/// Seconds of one call of each, after two rounds that are not counted. Calls take turns, so that whatever else runs on
/// the machine slows all of them alike. Caches are not flushed: a case smaller than the last-level cache shows the
/// cache's speed. On a card a time is that of 20 calls in a row until the card is done, divided by 20.
std::vector<Quantiles> time_in_turns(const std::vector<std::function<void()>>& calls, const Settings& settings,
                                     c10::Device device = c10::kCPU);

/// @throws std::runtime_error when a result is wrong; nothing is timed then.
std::vector<Row> adamw(const Settings& settings);
std::vector<Row> attention(const Settings& settings);
std::vector<Row> linear(const Settings& settings);
std::vector<Row> linear_cross_entropy(const Settings& settings);
std::vector<Row> norm_rotary(const Settings& settings);
std::vector<Row> rms_norm(const Settings& settings);
std::vector<Row> swiglu(const Settings& settings);

}  // namespace bench
