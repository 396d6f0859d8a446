#include "native/emulated/emulated.h"
#include "ops/attention/merge.h"
#include "ops/attention/merge_kernel.h"

namespace emulated_attention_merge_test {
namespace {

using namespace emulated;
using namespace ehrjepa;

struct Inputs {
  at::Tensor out, log_sum, rows, other, other_log_sum;

  /// Log-sums are float32 beside bfloat16, as kernels have them.
  Inputs to(at::ScalarType dtype) const {
    const at::ScalarType sums = dtype == at::kDouble ? at::kDouble : at::kFloat;
    return {out.to(dtype), log_sum.to(sums), rows, other.to(dtype), other_log_sum.to(sums)};
  }
};

/// @param rows  are drawn among `total`, in any order.
Inputs inputs_of(std::int64_t total, std::int64_t rows, std::int64_t heads, std::int64_t head_dim) {
  at::manual_seed(61);
  return {at::randn({total, heads, head_dim}), at::randn({heads, total}) * 3, at::randperm(total).narrow(0, 0, rows),
          at::randn({rows, heads, head_dim}), at::randn({heads, rows}) * 3};
}

/// out, log_sum
std::vector<at::Tensor> by_kernel(const Inputs& in) {
  Arguments memory;
  const at::Tensor out = memory.in_place(in.out), log_sum = memory.in_place(in.log_sum);
  EXPECT(kernels::launch_attention_merge({.out = out.data_ptr(),
                                          .log_sum = log_sum.data_ptr<float>(),
                                          .rows = static_cast<const std::int64_t*>(memory.input(in.rows)),
                                          .other = memory.input(in.other),
                                          .other_log_sum = static_cast<const float*>(memory.input(in.other_log_sum)),
                                          .total_rows = in.out.size(0),
                                          .rows_merged = in.rows.numel(),
                                          .heads = in.out.size(1),
                                          .head_dim = in.out.size(2),
                                          .dtype = dtype_of(in.out)},
                                         nullptr) == 0);
  return {out, log_sum};
}

std::vector<at::Tensor> by_reference(const Inputs& in) {
  const at::Tensor out = in.out.clone(), log_sum = in.log_sum.clone();
  ops::attention_merge_reference_(out, log_sum, in.rows, in.other, in.other_log_sum);
  return {out, log_sum};
}

void compare(const Inputs& in) {
  const std::vector<at::Tensor> found = under_schedules([&] { return by_kernel(in); });
  const std::vector<at::Tensor> exact = by_reference(in.to(at::kDouble)), plain = by_reference(in);
  expect_near(found, exact, plain);
}

TEST("emulated merge by log-sum: heads of every size, one row, all rows, none") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t head_dim : {1, 5, 8, 64, 128, 256, 520}) {
      compare(inputs_of(9, 4, 3, head_dim).to(dtype));
    }
    for (const std::int64_t rows : {0, 1, 17}) compare(inputs_of(17, rows, 2, 64).to(dtype));
  }
}

TEST("emulated merge by log-sum: log-sums far apart take one side whole, and equal ones the mean") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Inputs in = inputs_of(4, 4, 1, 64).to(dtype);
    in.rows = at::arange(4);
    in.log_sum = at::tensor({-300.0f, 300.0f, 2.0f, 1e4f}).unsqueeze(0);
    in.other_log_sum = at::tensor({300.0f, -300.0f, 2.0f, 1e4f}).unsqueeze(0);
    const std::vector<at::Tensor> found = by_kernel(in);
    EXPECT(found[0][0].equal(in.other[0]) && found[0][1].equal(in.out[1]));
    for (const std::int64_t row : {2, 3}) {
      EXPECT_LE((found[0][row] - (in.out[row] + in.other[row]) / 2).abs().max().item<double>(), 2e-2);
    }
    compare(in);
  }
}

TEST("emulated merge by log-sum: rows that start at no multiple of 16 bytes give the same bits") {
  const Inputs in = inputs_of(7, 7, 1, 64).to(at::kBFloat16);
  const std::vector<at::Tensor> straight = by_kernel(in);
  Inputs shifted = in;
  const at::Tensor moved = at::cat({at::zeros({1}, at::kBFloat16), in.other.reshape({-1})});
  shifted.other = moved.narrow(0, 1, in.other.numel()).view(in.other.sizes());
  const std::vector<at::Tensor> found = by_kernel(shifted);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT(found[i].equal(straight[i]));
}

}  // namespace
}  // namespace emulated_attention_merge_test
