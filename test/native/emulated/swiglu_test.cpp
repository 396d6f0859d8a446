#include "ops/swiglu/swiglu.h"

#include "cases/swiglu.h"
#include "native/emulated/emulated.h"
#include "ops/swiglu/kernel.h"

namespace emulated_swiglu_test {
namespace {

using namespace emulated;
using namespace ehrjepa;

struct Inputs {
  at::Tensor gate, up, grad_out;

  Inputs to(at::ScalarType dtype) const { return {gate.to(dtype), up.to(dtype), grad_out.to(dtype)}; }
};

/// out, grad_gate, grad_up
std::vector<at::Tensor> by_kernels(const Inputs& in) {
  Arguments memory;
  const at::Tensor out = memory.output_like(in.gate), grad_gate = memory.output_like(in.gate),
                   grad_up = memory.output_like(in.gate);
  const void *const gate = memory.input(in.gate), *const up = memory.input(in.up);
  const kernels::Dtype dtype = dtype_of(in.gate);
  EXPECT(kernels::launch_swiglu_forward({gate, up, out.data_ptr(), in.gate.numel(), dtype}, nullptr) == 0);
  EXPECT(kernels::launch_swiglu_backward(
             {memory.input(in.grad_out), gate, up, grad_gate.data_ptr(), grad_up.data_ptr(), in.gate.numel(), dtype},
             nullptr) == 0);
  return {out, grad_gate, grad_up};
}

std::vector<at::Tensor> by_reference(const Inputs& in) {
  const at::Tensor gate = in.gate.detach().requires_grad_(), up = in.up.detach().requires_grad_();
  const at::Tensor out = ops::swiglu_reference(gate, up);
  out.backward(in.grad_out);
  return {out.detach(), gate.grad(), up.grad()};
}

void compare(const Inputs& in) {
  const std::vector<at::Tensor> found = under_schedules([&] { return by_kernels(in); });
  const std::vector<at::Tensor> exact = by_reference(in.to(at::kDouble)), plain = by_reference(in);
  expect_near(found, exact, plain);
}

TEST("emulated swiglu: every case, float32 and bfloat16") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const SwigluCase& c : swiglu_cases) {
      const std::int64_t tokens = std::min<std::int64_t>(c.tokens, 40);
      at::manual_seed(31);
      const auto drawn = [&] { return at::randn({tokens, c.features}) * 3; };
      compare(Inputs{drawn(), drawn(), drawn()}.to(dtype));
    }
  }
}

TEST("emulated swiglu: gates far from 0 give numbers, and memory that is not at 16 bytes the same results") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    compare(Inputs{at::linspace(-200, 200, 501), at::randn({501}), at::randn({501})}.to(dtype));
    at::manual_seed(37);
    const Inputs in = Inputs{at::randn({77}), at::randn({77}), at::randn({77})}.to(dtype);
    const auto shifted = [&](const at::Tensor& x) {
      const at::Tensor with_one = at::cat({x.narrow(0, 0, 1), x});
      return with_one.narrow(0, 1, x.size(0));
    };
    const std::vector<at::Tensor> straight = by_kernels(in);
    const std::vector<at::Tensor> found = by_kernels({shifted(in.gate), shifted(in.up), shifted(in.grad_out)});
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT(found[i].equal(straight[i]));
  }
}

}  // namespace
}  // namespace emulated_swiglu_test
