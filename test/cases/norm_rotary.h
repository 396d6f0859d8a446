#pragma once
#include <cstdint>
#include <vector>

/// One table for the test, the gradient check and the benchmark of norm_rotary.
struct NormRotaryCase {
  const char* name;
  std::int64_t tokens, heads, head_dim;
};

inline const std::vector<NormRotaryCase> norm_rotary_cases = {
    {"one token", 1, 1, 4},
    {"no tokens", 0, 2, 4},
    {"half a head not a multiple of the vector width", 7, 3, 38},
    {"queries of the demo", 372, 4, 32},
    {"queries of Qwen3-1.7B", 1650, 16, 128},
};
