#include <ATen/ATen.h>

#include <cmath>
#include <string>
#include <vector>

#include "cases/adamw.h"
#include "cases/attention.h"
#include "cases/linear.h"
#include "cases/linear_cross_entropy.h"
#include "cases/norm_rotary.h"
#include "cases/rms_norm.h"
#include "cases/swiglu.h"
#include "memory/device.h"
#include "native/against_reference.h"
#include "native/card/waits.h"
#include "native/check.h"
#include "ops/adamw/adamw.h"
#include "ops/attention/ways.h"
#include "ops/linear/linear.h"
#include "ops/linear_cross_entropy/linear_cross_entropy.h"
#include "ops/norm_rotary/norm_rotary.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rotary/rotary.h"
#include "ops/swiglu/swiglu.h"

// Every op on a card, case by case of its table.
namespace card_ops_test {
namespace {

using namespace ehrjepa;
using Inputs = std::vector<at::Tensor>;
using against_reference::Call;

constexpr double eps = 1e-6;
constexpr at::ScalarType dtypes[] = {at::kFloat, at::kBFloat16};

bool is_too_large(std::int64_t elements) { return elements > 20'000 && !card::has_time_for_all(); }

at::Device first_card() {
  card::require();
  return memory::device_named("cuda:0");
}

Inputs placed(const Inputs& inputs, at::Device device) {
  Inputs result;
  for (const at::Tensor& input : inputs) result.push_back(input.to(device));
  return result;
}

Inputs results_on(at::Device device, const Call& call, const Inputs& inputs, const at::Tensor& upstream) {
  return placed(against_reference::results(call, placed(inputs, device), upstream.to(device)), at::kCPU);
}

/// Output and gradients on the card, against the float64 truth of the same rounded inputs: at most four times as far as
/// plain ATen there, whose sums have another order, and a rounding.
void expect_exact_on(at::Device device, const Call& ours, const Call& reference, const Inputs& inputs,
                     const at::Tensor& upstream, const std::string& name) {
  using namespace against_reference;
  Inputs in_double;
  for (const at::Tensor& input : inputs) in_double.push_back(wide(input));
  const Inputs exact = results(reference, in_double, wide(upstream));
  const Inputs plain = results_on(device, reference, inputs, upstream);
  const Inputs found = results_on(device, ours, inputs, upstream);
  const bool narrow = inputs.front().scalar_type() == at::kBFloat16;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    if (found[i].sizes() != exact[i].sizes()) check::fail(__FILE__, __LINE__, name + ": a result of another shape");
    if (exact[i].numel() == 0) continue;
    const double limit = 4 * error(plain[i], exact[i]) + (narrow ? 4e-3 : 1e-6);
    const double distance = error(found[i], exact[i]);
    if (distance <= limit) continue;
    check::fail(__FILE__, __LINE__,
                name + (narrow ? ", bfloat16, " : ", float32, ") +
                    (i == 0 ? "output" : "gradient " + std::to_string(i)) + ": relative error " +
                    std::to_string(distance * 1e6) + "e-6 must be at most " + std::to_string(limit * 1e6) + "e-6");
  }
}

at::Tensor both(const std::tuple<at::Tensor, at::Tensor>& pair) {
  return at::cat({std::get<0>(pair), std::get<1>(pair)});
}

TEST("a card: RMSNorm with and without a sum is its reference") {
  const at::Device device = first_card();
  for (const at::ScalarType dtype : dtypes) {
    for (const RmsNormCase& c : rms_norm_cases) {
      if (is_too_large(c.tokens * c.size)) continue;
      at::manual_seed(17);
      const auto rows = [&] { return (at::randn({c.tokens, c.size}) * 3 + 0.2).to(dtype); };
      const at::Tensor x = rows(), delta = rows(), weight = (at::rand({c.size}) + 0.5).to(dtype);
      expect_exact_on(
          device, [](const Inputs& in) { return ops::rms_norm(in[0], in[1], eps); },
          [](const Inputs& in) { return ops::rms_norm_reference(in[0], in[1], eps); }, {x, weight}, rows(), c.name);
      // In float64 the sum would not be rounded: whole numbers of halves are exact in all.
      const auto halves = [](const at::Tensor& values) { return (values * 2).round().clamp(-60, 60) / 2; };
      expect_exact_on(
          device, [](const Inputs& in) { return both(ops::add_rms_norm(in[0], in[1], in[2], eps)); },
          [](const Inputs& in) { return both(ops::add_rms_norm_reference(in[0], in[1], in[2], eps)); },
          {halves(x), halves(delta), weight}, at::cat({rows(), rows()}), std::string(c.name) + ", with a sum");
    }
  }
}

TEST("a card: QK-norm with rotary embedding is its reference") {
  const at::Device device = first_card();
  for (const at::ScalarType dtype : dtypes) {
    for (const NormRotaryCase& c : norm_rotary_cases) {
      if (is_too_large(c.tokens * c.heads * c.head_dim)) continue;
      at::manual_seed(5);
      const at::Tensor x = (at::randn({c.tokens, c.heads, c.head_dim}) * 3 + 0.2).to(dtype);
      const at::Tensor weight = (at::rand({c.head_dim}) + 0.5).to(dtype);
      const ops::RotaryTables rounded =
          ops::rotary_tables(at::arange(c.tokens, at::kLong).mul(7).remainder(1000), c.head_dim, 1e4, dtype);
      const auto tables = [&](const at::Tensor& values) {
        return ops::RotaryTables{rounded.cos.to(values.options()), rounded.sin.to(values.options())};
      };
      expect_exact_on(
          device, [&](const Inputs& in) { return ops::norm_rotary(in[0], in[1], tables(in[0]), eps); },
          [&](const Inputs& in) { return ops::norm_rotary_reference(in[0], in[1], tables(in[0]), eps); }, {x, weight},
          at::randn_like(x), c.name);
    }
  }
}

TEST("a card: SwiGLU is its reference") {
  const at::Device device = first_card();
  for (const at::ScalarType dtype : dtypes) {
    for (const SwigluCase& c : swiglu_cases) {
      if (is_too_large(c.tokens * c.features)) continue;
      at::manual_seed(7);
      const auto random = [&] { return (at::randn({c.tokens, c.features}) * 3).to(dtype); };
      expect_exact_on(
          device, [](const Inputs& in) { return ops::swiglu(in[0], in[1]); },
          [](const Inputs& in) { return ops::swiglu_reference(in[0], in[1]); }, {random(), random()}, random(), c.name);
    }
  }
}

TEST("a card: linear maps and the loss head are their references") {
  const at::Device device = first_card();
  for (const at::ScalarType dtype : dtypes) {
    for (const LinearCase& c : linear_cases) {
      if (is_too_large(c.inputs * c.outputs)) continue;
      at::manual_seed(3);
      const at::Tensor x = at::randn({c.tokens, c.inputs}).to(dtype);
      expect_exact_on(
          device, [](const Inputs& in) { return ops::linear(in[0], in[1]); },
          [](const Inputs& in) { return ops::linear_reference(in[0], in[1]); },
          {x, (at::randn({c.outputs, c.inputs}) / std::sqrt(c.inputs)).to(dtype)},
          at::randn({c.tokens, c.outputs}).to(dtype), c.name);
    }
    for (const LinearCrossEntropyCase& c : linear_cross_entropy_cases) {
      if (is_too_large(c.rows * c.vocab_size)) continue;
      at::manual_seed(29);
      expect_exact_on(
          device, [](const Inputs& in) { return ops::linear_cross_entropy(in[0], in[1], in[2]); },
          [](const Inputs& in) { return ops::linear_cross_entropy_reference(in[0], in[1], in[2]); },
          {at::randn({c.rows, c.features}).to(dtype),
           (at::randn({c.vocab_size, c.features}) / std::sqrt(c.features)).to(dtype),
           at::randint(c.vocab_size, {c.rows}, at::kLong)},
          at::full({}, 0.7), c.name);
    }
  }
}

TEST("a card: attention is its reference by every way that there is, with heads of the table, of 64 and of 128") {
  const at::Device device = first_card();
  for (const at::ScalarType dtype : dtypes) {
    for (AttentionCase c : attention_cases) {
      if (is_too_large(400 * c.layout.rows())) continue;
      for (const std::int64_t head_dim : {c.head_dim, std::int64_t{64}, std::int64_t{128}}) {
        c.head_dim = head_dim;
        at::manual_seed(53);
        const std::int64_t keys = c.layout.rows(), queries = c.rows ? static_cast<std::int64_t>(c.rows->size()) : keys;
        const auto random = [&](std::int64_t rows, std::int64_t heads) {
          return at::randn({rows, heads, c.head_dim}).to(dtype);
        };
        const Inputs in = {random(queries, c.query_heads), random(keys, c.key_value_heads),
                           random(keys, c.key_value_heads)};
        const double scale = 1.0 / std::sqrt(static_cast<double>(c.head_dim));
        const Call reference = [&](const Inputs& x) {
          return ops::attention_reference(x[0], x[1], x[2], c.layout, scale, c.rows);
        };
        const std::string name = std::string(c.name) + ", heads of " + std::to_string(head_dim);
        const at::Tensor upstream = random(queries, c.query_heads);
        expect_exact_on(
            device, [&](const Inputs& x) { return ops::attention(x[0], x[1], x[2], c.layout, scale, c.rows); },
            reference, in, upstream, name);
        if (in[0].numel() == 0) continue;
        for (const ops::AttentionChoice way : ops::attention_ways(in[0].to(device), c.rows.has_value(), false)) {
          expect_exact_on(
              device,
              [&](const Inputs& x) { return ops::attention_by(way, x[0], x[1], x[2], c.layout, scale, c.rows); },
              reference, in, upstream, name + ", by " + ops::name_of(way));
        }
      }
    }
  }
}

TEST("a card: AdamW with its target gives the CPU's bits, and the norm of a gradient is the CPU's") {
  const at::Device device = first_card();
  for (const at::ScalarType dtype : dtypes) {
    for (const AdamWCase& c : adamw_cases) {
      if (is_too_large(c.elements)) continue;
      at::manual_seed(5);
      const auto drawn = [&] { return at::randn({c.elements}).to(dtype); };
      const Inputs start = {drawn(), drawn() * 0.1, (drawn() * 0.1).square(), drawn(), drawn()};
      const auto updated = [&](at::Device where) {
        const auto copy = [&](std::size_t i) { return start[i].clone().to(where); };
        ops::AdamWTensors tensors{copy(0), copy(1), copy(2), {}, {}};
        if (c.with_target) tensors.target = copy(3);
        if (c.with_gradient) tensors.gradient = copy(4);
        ops::adamw_(tensors, {.gradient_scale = at::scalar_tensor(0.7, at::kDouble).to(where),
                              .learning_rate = 0.01,
                              .weight_decay = 0.1,
                              .updates = 3,
                              .momentum = 0.996,
                              .seed = 0x1234567890abcdef,
                              .step = 17,
                              .parameter = 4});
        Inputs result = {tensors.parameter, tensors.exp_avg, tensors.exp_avg_sq};
        if (c.with_target) result.push_back(tensors.target);
        return placed(result, at::kCPU);
      };
      const Inputs expected = updated(at::kCPU), found = updated(device);
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (found[i].equal(expected[i])) continue;
        check::fail(__FILE__, __LINE__,
                    std::string(c.name) + ": array " + std::to_string(i) + " has other bits in " +
                        std::to_string(found[i].ne(expected[i]).sum().item<std::int64_t>()) + " of " +
                        std::to_string(c.elements) + " elements");
      }
      const double squares = ops::sum_of_squares(start[4]).item<double>();
      EXPECT_CLOSE(ops::sum_of_squares(start[4].to(device)).item<double>(), squares, 1e-6 * squares);
    }
  }
}

}  // namespace
}  // namespace card_ops_test
