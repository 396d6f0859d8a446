#pragma once
#include <cstdint>
#include <vector>

/// One table for the test, the gradient check and the benchmark of linear_cross_entropy.
struct LinearCrossEntropyCase {
  const char* name;
  std::int64_t rows, vocab_size, features;
  std::int64_t chunk;  ///< rows at a time in the test
};

inline const std::vector<LinearCrossEntropyCase> linear_cross_entropy_cases = {
    {"one row, one token", 1, 1, 3, 1},
    {"one chunk", 5, 11, 4, 5},
    {"chunks with a rest", 23, 37, 8, 5},
    {"vocabulary not a multiple of the vector width", 130, 521, 32, 64},
    {"the head of the demo", 2046, 520, 128, 700},
    {"the head of Qwen3-1.7B's vocabulary, narrow", 64, 151936, 64, 20},
};
