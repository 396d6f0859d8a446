#include "ops/rotary/rotary.h"

#include <ATen/ATen.h>

#include <vector>

#include "cases/rotary.h"
#include "native/against_reference.h"
#include "native/check.h"
#include "native/gradcheck.h"

namespace {

using namespace ehrjepa;
using Inputs = std::vector<at::Tensor>;

at::Tensor positions(std::int64_t tokens) { return at::arange(tokens, at::kLong).mul(7).remainder(1000); }

void compare(at::ScalarType dtype) {
  for (const RotaryCase& c : rotary_cases) {
    at::manual_seed(5);
    const at::Tensor x = at::randn({c.tokens, c.heads, c.head_dim}, at::kDouble).to(dtype);
    // The tables are rounded as the inputs are: the same ones for all.
    const ops::RotaryTables tables = ops::rotary_tables(positions(c.tokens), c.head_dim, 1e4, dtype);
    const auto with_tables = [&](const at::Tensor& values) {
      return ops::RotaryTables{tables.cos.to(values.scalar_type()), tables.sin.to(values.scalar_type())};
    };
    against_reference::expect_as_exact(
        [&](const Inputs& in) { return ops::apply_rotary(in[0], with_tables(in[0])); },
        [&](const Inputs& in) { return ops::apply_rotary_reference(in[0], with_tables(in[0])); }, {x},
        at::randn_like(x), c.name);
  }
}

TEST("rotary: float32 agrees with the reference, output and gradient") { compare(at::kFloat); }
TEST("rotary: bfloat16 within twice the error of plain ATen") { compare(at::kBFloat16); }

TEST("rotary: gradients agree with central differences in float64") {
  const ops::RotaryTables tables = ops::rotary_tables(at::tensor({3, 0, 14}, at::kLong), 6, 1e4, at::kDouble);
  EXPECT_LE(gradcheck([&](const Inputs& in) { return ops::apply_rotary(in[0], tables); },
                      {at::randn({3, 2, 6}, at::kDouble)}),
            1e-7);
}

TEST("rotary: rounds as plain ATen does, forward and backward, to the bit") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = at::randn({40, 3, 32}).to(dtype);
    const ops::RotaryTables tables = ops::rotary_tables(positions(40), 32, 1e4, dtype);
    const at::Tensor upstream = at::randn_like(x);
    const auto found =
        against_reference::results([&](const Inputs& in) { return ops::apply_rotary(in[0], tables); }, {x}, upstream);
    const auto plain = against_reference::results(
        [&](const Inputs& in) { return ops::apply_rotary_reference(in[0], tables); }, {x}, upstream);
    EXPECT(found[0].equal(plain[0]));
    EXPECT(found[1].equal(plain[1]));
  }
}

TEST("rotary: position 0 changes nothing, and scores depend on the distance alone") {
  const at::Tensor x = at::randn({1, 1, 8}, at::kDouble);
  const at::Tensor y = at::randn({1, 1, 8}, at::kDouble);
  const auto at_position = [](const at::Tensor& values, std::int64_t position) {
    return ops::apply_rotary(values, ops::rotary_tables(at::tensor({position}, at::kLong), 8, 1e4, at::kDouble));
  };
  EXPECT_LE((at_position(x, 0) - x).abs().max().item<double>(), 1e-15);
  const auto score = [&](std::int64_t i, std::int64_t j) {
    return (at_position(x, i) * at_position(y, j)).sum().item<double>();
  };
  EXPECT_CLOSE(score(7, 3), score(104, 100), 1e-10);
  EXPECT(std::abs(score(7, 3) - score(7, 4)) > 1e-6);
}

TEST("rotary: errors name argument, rule and value") {
  const auto tables = [](std::int64_t tokens, std::int64_t size, at::ScalarType dtype) {
    return ops::rotary_tables(positions(tokens), size, 1e4, dtype);
  };
  EXPECT_THROWS(tables(2, 7, at::kFloat), "[rotary] head_dim must be even but is 7");
  EXPECT_THROWS(ops::apply_rotary(at::ones({2, 3, 7}), tables(2, 8, at::kFloat)), "with an even head_dim");
  EXPECT_THROWS(ops::apply_rotary(at::ones({2, 3, 8}), tables(3, 8, at::kFloat)),
                "[rotary] the tables must have shape (2, 1, 8) but one has [3, 1, 8]");
  EXPECT_THROWS(ops::apply_rotary(at::ones({2, 3, 8}), tables(2, 8, at::kBFloat16)), "must have the dtype");
}

}  // namespace
