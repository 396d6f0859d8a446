#pragma once
#include <cstdint>
#include <vector>

/// One table for the test, the gradient check and the benchmark of rms_norm.
struct RmsNormCase {
  const char* name;
  std::int64_t tokens;
  std::int64_t size;
};

inline const std::vector<RmsNormCase> rms_norm_cases = {
    {"one token, one feature", 1, 1},
    {"one token of Qwen3-1.7B", 1, 2048},
    {"head size", 640, 128},
    {"size not a multiple of the vector width", 7, 2050},
    {"size below the vector width", 5, 13},
    {"tokens not a multiple of the block", 3301, 256},
    {"a window of Qwen3-1.7B", 3300, 2048},
};
