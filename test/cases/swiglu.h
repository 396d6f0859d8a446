#pragma once
#include <cstdint>
#include <vector>

/// One table for the test, the gradient check and the benchmark of swiglu.
struct SwigluCase {
  const char* name;
  std::int64_t tokens, features;
};

inline const std::vector<SwigluCase> swiglu_cases = {
    {"one element", 1, 1},
    {"no tokens", 0, 8},
    {"not a multiple of the vector width", 7, 13},
    {"the demo's MLP", 4092, 384},
    {"the MLP of Qwen3-1.7B", 512, 6144},
};
