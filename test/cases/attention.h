#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "ops/attention/attention.h"

/// One table for the test, the gradient check and the benchmark of attention.
struct AttentionCase {
  const char* name;
  std::int64_t query_heads, key_value_heads, head_dim;
  ehrjepa::ops::AttentionLayout layout;
  std::optional<std::vector<std::int64_t>> rows = std::nullopt;
};

inline const std::vector<AttentionCase> attention_cases = {
    {"one token", 1, 1, 2, {{0, 1}, {}, false}},
    {"packed, grouped, odd lengths", 4, 2, 8, {{0, 1, 8, 21}, {}, false}},
    {"an empty sequence between two", 2, 2, 6, {{0, 5, 5, 12}, {}, false}},
    {"head size not a multiple of the vector width", 3, 1, 20, {{0, 37}, {}, false}},
    {"two branches of one trunk, causal", 4, 2, 8, {{0, 6, 19}, {{6, 12, 19, 24}, {6, 10, 24, 33}}, false}},
    {"branches of two trunks, isolated", 4, 1, 16, {{0, 9, 20}, {{0, 4, 20, 23}, {9, 15, 23, 30}}, true}},
    {"a branch without context, one without rows", 2, 1, 8, {{0, 7}, {{3, 3, 7, 11}, {0, 5, 11, 11}}, false}},
    {"longer than a block, with branches",
     4,
     2,
     64,
     {{0, 300, 431}, {{0, 150, 431, 581}, {300, 420, 581, 592}}, false}},
    {"longer than a block, isolated queries", 2, 1, 32, {{0, 333}, {{0, 270, 333, 380}, {0, 129, 380, 523}}, true}},
    {"chosen rows", 4, 2, 8, {{0, 6, 19, 30}, {}, false}, {{0, 5, 18, 19, 29}}},
    {"chosen rows of a long sequence", 2, 1, 32, {{0, 40, 450}, {}, false}, {{3, 41, 200, 201, 330, 448}}},
    {"heads of 72, a block to the row", 2, 1, 72, {{0, 64, 129}, {{0, 64, 129, 193}}, false}},
    {"heads of 256", 2, 2, 256, {{0, 70}, {}, false}},
    {"none chosen", 2, 1, 8, {{0, 7}, {}, false}, std::vector<std::int64_t>{}},
    {"no rows at all", 2, 1, 8, {{0}, {}, false}},
};
