#include "ops/linear_cross_entropy/linear_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <vector>

#include "cases/linear_cross_entropy.h"
#include "native/against_reference.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "native/instruction_sets.h"
#include "ops/linear_cross_entropy/cpu.h"

namespace ehrjepa::ops::linear_cross_entropy_cpu {
extern const KernelSet<Row> wide_kernels;
}

namespace linear_cross_entropy_test {
namespace {

using namespace ehrjepa;
using Inputs = std::vector<at::Tensor>;
using Set = ops::KernelSet<ops::linear_cross_entropy_cpu::Row>;

Inputs inputs_of(const LinearCrossEntropyCase& c, at::ScalarType dtype) {
  at::manual_seed(29);
  const at::Tensor hidden = at::randn({c.rows, c.features}, at::kDouble);
  const at::Tensor weight = at::randn({c.vocab_size, c.features}, at::kDouble) / std::sqrt(c.features);
  return {hidden.to(dtype), weight.to(dtype), at::randint(c.vocab_size, {c.rows}, at::kLong)};
}
at::Tensor ours(const Inputs& in) { return ops::linear_cross_entropy(in[0], in[1], in[2]); }
at::Tensor reference(const Inputs& in) { return ops::linear_cross_entropy_reference(in[0], in[1], in[2]); }

std::vector<std::pair<std::string, const Set*>> sets() {
  using namespace ops::linear_cross_entropy_cpu;
  return sets_that_run(plain_kernels, avx2_kernels, avx512_kernels, wide_kernels, &avx512_bf16_kernels);
}

/// The loss and its gradients with the kernels of one instruction set, `chunk` rows at a time.
Inputs results_on(const Set& set, std::int64_t chunk, const Inputs& in) {
  const auto [log_probabilities, grad_hidden, grad_weight] =
      ops::linear_cross_entropy_cpu::forward(in[0], in[1], in[2], true, true, chunk, set);
  return {-log_probabilities.mean(), grad_hidden, grad_weight};
}

void compare(at::ScalarType dtype) {
  const at::Tensor upstream = at::full({}, 0.7, at::kDouble);
  for (const LinearCrossEntropyCase& c : linear_cross_entropy_cases) {
    against_reference::expect_as_exact(ours, reference, inputs_of(c, dtype), upstream, c.name);
  }
}

TEST("linear_cross_entropy: float32 agrees with the reference, loss and gradients") { compare(at::kFloat); }
TEST("linear_cross_entropy: bfloat16 within twice the error of plain ATen") { compare(at::kBFloat16); }

TEST("linear_cross_entropy: every instruction set is as exact, whole and in chunks") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const auto& [name, set] : sets()) {
      for (const LinearCrossEntropyCase& c : linear_cross_entropy_cases) {
        against_reference::expect_results_as_exact(
            [&, kernels = set](const Inputs& in, const at::Tensor&) { return results_on(*kernels, c.rows, in); },
            reference, inputs_of(c, dtype), at::ones({}), c.name + (", " + name));
      }
    }
  }
}

TEST("linear_cross_entropy: chunks of any size give loss and gradients of the whole") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const LinearCrossEntropyCase& c : linear_cross_entropy_cases) {
      const Inputs in = inputs_of(c, dtype);
      const Inputs whole = results_on(ops::linear_cross_entropy_cpu::plain_kernels, c.rows, in);
      const Inputs parts = results_on(ops::linear_cross_entropy_cpu::plain_kernels, c.chunk, in);
      for (std::size_t i = 0; i < whole.size(); ++i) {
        const double tolerance = dtype == at::kFloat ? 2e-6 : 2e-2;
        EXPECT_LE(against_reference::error(parts[i], against_reference::wide(whole[i])), tolerance);
      }
    }
  }
}

TEST("linear_cross_entropy: logits far apart and all alike stay finite") {
  const at::Tensor labels = at::tensor({0, 3}, at::kLong);
  for (const double size : {0.0, 1e4}) {
    const Inputs in = {at::full({2, 5}, size), at::arange(20, at::kFloat).view({4, 5}), labels};
    for (const at::Tensor& result : against_reference::results(ours, in, at::ones({}))) {
      EXPECT(result.isfinite().all().item<bool>());
    }
  }
}

TEST("linear_cross_entropy: gradients agree with central differences in float64") {
  const at::Tensor labels = at::tensor({2, 0, 6, 2}, at::kLong);
  const auto function = [&](const Inputs& in) { return ops::linear_cross_entropy(in[0], in[1], labels); };
  EXPECT_LE(gradcheck(function, {at::randn({4, 3}, at::kDouble), at::randn({7, 3}, at::kDouble)}), 1e-7);
}

TEST("linear_cross_entropy: value worked out by hand; the gradient of one input does not need the other's") {
  // Logits 0 and log 3: probabilities 1/4 and 3/4.
  const at::Tensor hidden = at::ones({1, 1}, at::kDouble);
  const at::Tensor weight = at::tensor({0.0, std::log(3.0)}, at::kDouble).view({2, 1});
  const at::Tensor label = at::tensor({1}, at::kLong);
  EXPECT_CLOSE(ops::linear_cross_entropy(hidden, weight, label).item<double>(), std::log(4.0 / 3.0), 1e-12);
  const at::Tensor leaf = hidden.clone().requires_grad_(true);
  const at::Tensor gradient = torch::autograd::grad({ops::linear_cross_entropy(leaf, weight, label)}, {leaf})[0];
  EXPECT_CLOSE(gradient.item<double>(), -0.25 * std::log(3.0), 1e-12);
}

TEST("linear_cross_entropy: log-probabilities of the labels are those of the whole softmax") {
  for (const LinearCrossEntropyCase& c : linear_cross_entropy_cases) {
    const Inputs in = inputs_of(c, at::kFloat);
    const at::Tensor found = ops::label_log_probabilities(in[0], in[1], in[2]);
    const at::Tensor all = at::log_softmax(at::linear(in[0].to(at::kDouble), in[1].to(at::kDouble)), 1);
    const at::Tensor exact = all.gather(1, in[2].unsqueeze(1)).squeeze(1);
    EXPECT_LE((found - exact).abs().max().item<double>(), 1e-5);
    EXPECT(!found.requires_grad());
  }
  EXPECT(ops::label_log_probabilities(at::ones({0, 3}), at::ones({4, 3}), at::zeros({0}, at::kLong)).numel() == 0);
}

/// Counts what tensors ask for while it lives.
class AllocationProbe final : public at::Allocator {
 public:
  AllocationProbe() : inner_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this); }
  ~AllocationProbe() override { c10::SetCPUAllocator(inner_); }
  at::DataPtr allocate(std::size_t bytes) override {
    std::size_t seen = largest_;
    while (bytes > seen && !largest_.compare_exchange_weak(seen, bytes)) {
    }
    return inner_->allocate(bytes);
  }
  at::DeleterFnPtr raw_deleter() const override { return inner_->raw_deleter(); }
  void copy_data(void* target, const void* source, std::size_t bytes) const override {
    inner_->copy_data(target, source, bytes);
  }
  std::size_t largest() const { return largest_; }

 private:
  at::Allocator* inner_;
  std::atomic<std::size_t> largest_{0};
};

TEST("linear_cross_entropy: nothing larger than chunk x V is ever allocated, gradients included") {
  // Fewer features than rows of a chunk, so that the gradient of the weight is smaller than a chunk of logits.
  const LinearCrossEntropyCase c{"", 400, 3000, 16, 32};
  const auto chunk_bytes = static_cast<std::size_t>(c.chunk * c.vocab_size) * sizeof(float);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Inputs in = inputs_of(c, dtype);
    const AllocationProbe probe;
    results_on(ops::linear_cross_entropy_cpu::plain_kernels, c.chunk, in);
    EXPECT(probe.largest() > 0);
    EXPECT_LE(static_cast<double>(probe.largest()), static_cast<double>(chunk_bytes));
  }
  // The probe sees what the reference needs.
  const Inputs in = inputs_of(c, at::kFloat);
  const AllocationProbe probe;
  reference(in);
  EXPECT(probe.largest() >= static_cast<std::size_t>(c.rows * c.vocab_size) * sizeof(float));
}

TEST("linear_cross_entropy: the rows at a time keep float32 logits within 256 MiB") {
  EXPECT(ops::linear_cross_entropy_rows(441, 151'936) == 441);
  EXPECT(ops::linear_cross_entropy_rows(442, 151'936) == 221);
  EXPECT(ops::linear_cross_entropy_rows(3'300, 151'936) == 413);
  EXPECT(ops::linear_cross_entropy_rows(4'096, 520) == 4'096);
  EXPECT(ops::linear_cross_entropy_rows(200'000, 520) == 100'000);
  EXPECT(ops::linear_cross_entropy_rows(3, std::int64_t{1} << 40) == 1);
  EXPECT(ops::linear_cross_entropy_rows(0, 520) == 1);
}

TEST("linear_cross_entropy: errors name argument, rule and value") {
  const at::Tensor hidden = at::ones({2, 3}), weight = at::ones({4, 3});
  const at::Tensor labels = at::tensor({1, 3}, at::kLong);
  EXPECT_THROWS(ops::linear_cross_entropy(hidden, at::ones({4, 2}), labels), "have shapes [2, 3] and [4, 2]");
  EXPECT_THROWS(ops::linear_cross_entropy(hidden, weight.to(at::kDouble), labels),
                "[linear_cross_entropy] weight must have the dtype of hidden (Float) but has Double");
  EXPECT_THROWS(ops::linear_cross_entropy(hidden, weight, at::tensor({1}, at::kLong)), "one per row of hidden (2)");
  EXPECT_THROWS(ops::linear_cross_entropy(hidden, weight, labels.to(at::kInt)), "labels must be int64");
  EXPECT_THROWS(ops::linear_cross_entropy(hidden, weight, labels + 1),
                "[linear_cross_entropy] labels must lie in [0, 4) but one is 4");
  EXPECT_THROWS(ops::linear_cross_entropy(hidden, weight, labels - 2), "must lie in [0, 4) but one is -1");
  EXPECT_THROWS(ops::linear_cross_entropy(at::ones({0, 3}), weight, at::zeros({0}, at::kLong)), "at least one row");
}

}  // namespace
}  // namespace linear_cross_entropy_test
