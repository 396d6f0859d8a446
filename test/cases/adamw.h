#pragma once
#include <cstdint>
#include <vector>

/// One table for the test and the benchmark of adamw_.
struct AdamWCase {
  const char* name;
  std::int64_t elements;
  bool with_gradient, with_target;
};

inline const std::vector<AdamWCase> adamw_cases = {
    {"one element", 1, true, true},
    {"fewer than a vector", 5, true, true},
    {"a tile and a rest", 45, true, true},
    {"a norm of Qwen3-1.7B", 2048, true, true},
    {"without a target", 1000, true, false},
    {"the target alone", 1000, false, true},
    {"several parts with a rest", 3 * 65'536 + 37, true, true},
    {"an MLP map of Qwen3-1.7B", 12'582'912, true, true},
};
