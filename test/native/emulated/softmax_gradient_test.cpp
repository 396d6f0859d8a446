#include "cases/linear_cross_entropy.h"
#include "native/emulated/emulated.h"
#include "ops/linear_cross_entropy/kernel.h"

namespace emulated_softmax_gradient_test {
namespace {

using namespace emulated;
using namespace ehrjepa;

/// Log-probabilities, and what the logits have become.
std::vector<at::Tensor> by_kernels(const at::Tensor& logits_RV, const at::Tensor& labels_R, double share) {
  Arguments memory;
  const at::Tensor logits = memory.in_place(logits_RV);
  const at::Tensor log_probabilities = memory.output({logits.size(0)}, at::kFloat);
  EXPECT(kernels::launch_softmax_gradient({.logits = logits.data_ptr(),
                                           .labels = static_cast<const std::int64_t*>(memory.input(labels_R)),
                                           .log_probabilities = log_probabilities.data_ptr<float>(),
                                           .rows = logits.size(0),
                                           .size = logits.size(1),
                                           .share = static_cast<float>(share),
                                           .dtype = dtype_of(logits)},
                                          nullptr) == 0);
  return {log_probabilities, logits};
}

void compare(const at::Tensor& logits_RV) {
  const std::int64_t rows = logits_RV.size(0), size = logits_RV.size(1);
  const double share = 1.0 / static_cast<double>(rows);
  const at::Tensor labels_R = at::arange(rows, at::kLong).mul(7919).remainder(size);
  const std::vector<at::Tensor> found = under_schedules([&] { return by_kernels(logits_RV, labels_R, share); });
  const at::Tensor log_softmax = at::log_softmax(logits_RV.to(at::kDouble), -1);
  const at::Tensor one_hot = at::zeros_like(log_softmax).scatter_(1, labels_R.unsqueeze(1), 1.0);
  EXPECT_LE(
      (found[0].to(at::kDouble) - log_softmax.gather(1, labels_R.unsqueeze(1)).squeeze(1)).abs().max().item<double>(),
      2e-5);
  const at::Tensor gradient = (log_softmax.exp() - one_hot) * share;
  if (size > 1) EXPECT_LE(error(found[1], gradient), logits_RV.scalar_type() == at::kFloat ? 2e-6 : 3e-3);
  EXPECT(by_kernels(logits_RV, labels_R, 0.0)[1].equal(logits_RV));
}

TEST("emulated softmax gradient: every vocabulary, float32 and bfloat16") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const LinearCrossEntropyCase& c : linear_cross_entropy_cases) {
      at::manual_seed(41);
      compare(
          (at::randn({c.vocab_size > 100'000 ? 1 : std::min<std::int64_t>(c.rows, 9), c.vocab_size}) * 4).to(dtype));
    }
  }
}

TEST("emulated softmax gradient: logits far apart, alike and minus infinity") {
  const at::Tensor logits = at::zeros({3, 1000});
  logits[0] = at::linspace(-1e4, 1e4, 1000);
  logits[2].narrow(0, 100, 900).fill_(-INFINITY);
  const at::Tensor labels = at::tensor(std::vector<std::int64_t>{999, 3, 50});
  const std::vector<at::Tensor> found = by_kernels(logits, labels, 1.0);
  const at::Tensor expected = at::log_softmax(logits.to(at::kDouble), -1);
  for (std::int64_t row = 0; row < 3; ++row) {
    EXPECT_CLOSE(found[0][row].item<double>(), expected[row][labels[row].item<std::int64_t>()].item<double>(), 1e-5);
  }
  EXPECT(found[1].isfinite().all().item<bool>());
}

}  // namespace
}  // namespace emulated_softmax_gradient_test
