#pragma once
#include <cstdint>
#include <vector>

/// One table for the test, the gradient check and the benchmark of linear.
struct LinearCase {
  const char* name;
  std::int64_t tokens, inputs, outputs;
};

inline const std::vector<LinearCase> linear_cases = {
    {"one element", 1, 1, 1},
    {"no tokens", 0, 8, 4},
    {"odd sizes", 7, 13, 5},
    {"the demo's gate", 4092, 128, 384},
    {"more outputs than are widened at once", 3, 2048, 5000},
    {"a quarter of Qwen3-1.7B's gate", 512, 2048, 1536},
};
