// Is our RMSNorm, alone and with the residual sum before it, faster than plain ATen and than at::rms_norm, and how near
// is it to the speed of a copy?
#include "ops/rms_norm/rms_norm.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/rms_norm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "api/build_info.h"
#include "cases/rms_norm.h"
#include "native/differentiable.h"
#include "ops/rms_norm/cpu.h"

namespace bench {
namespace {

namespace ops = ehrjepa::ops;

constexpr double eps = 1e-6;

/// Our kernels for every processor.
class PlainKernels : public torch::autograd::Function<PlainKernels> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
    const auto [y, rstd] = ops::rms_norm_cpu::forward(x, weight, eps, ops::rms_norm_cpu::plain_kernels);
    context->save_for_backward({x, weight, rstd});
    return y;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const auto [grad_x, grad_weight] =
        ops::rms_norm_cpu::backward(grad[0], {}, saved[0], saved[1], saved[2], ops::rms_norm_cpu::plain_kernels);
    return {grad_x, grad_weight};
  }
};

}  // namespace

std::vector<Row> rms_norm(const Settings& settings) {
  at::manual_seed(17);
  using Inputs = std::vector<at::Tensor>;
  const Differentiable reference = [](const Inputs& in) { return ops::rms_norm_reference(in[0], in[1], eps); };
  const auto stock = [](const at::Tensor& x, const at::Tensor& weight) {
    return at::rms_norm(x, {x.size(-1)}, weight, eps);
  };
  const std::vector<Implementation> everywhere = {
      {"ours", [](const Inputs& in) { return ops::rms_norm(in[0], in[1], eps); }},
      {"plain ATen", reference},
      {"at::rms_norm", [stock](const Inputs& in) { return stock(in[0], in[1]); }}};
  std::vector<Implementation> on_cpu = everywhere;
  if (ops::best_isa() != ops::Isa::kPlain) {
    on_cpu.push_back({"ours, plain", [](const Inputs& in) { return PlainKernels::apply(in[0], in[1]); }});
  }
  const Differentiable sum_reference = [](const Inputs& in) {
    return ops::add_rms_norm_reference(in[0], in[1], in[2], eps);
  };
  const std::vector<Implementation> with_sum = {
      {"ours", [](const Inputs& in) { return ops::add_rms_norm(in[0], in[1], in[2], eps); }},
      {"plain ATen", sum_reference},
      {"sum, at::rms_norm", [stock](const Inputs& in) {
         const at::Tensor sum = in[0] + in[1];
         return std::tuple(sum, stock(sum, in[2]));
       }}};
  std::vector<c10::Device> devices = {at::kCPU};
  if (ehrjepa::api::build_info().cuda && at::hasCUDA()) devices.emplace_back(at::kCUDA, 0);
  std::vector<Row> rows;
  for (const c10::Device device : devices) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      for (const RmsNormCase& c : rms_norm_cases) {
        if (c.size == 1) continue;  // its gradient is rounding noise
        const at::Tensor x = (at::randn({c.tokens, c.size}) * 3).to(dtype).to(device);
        const at::Tensor weight = (at::rand({c.size}) + 0.5).to(dtype).to(device);
        const double bytes = static_cast<double>(x.nbytes());
        const Subject subject = {.op = "rms_norm",
                                 .name = c.name,
                                 .inputs = {x, weight},
                                 .upstream = at::randn({c.tokens, c.size}).to(dtype).to(device),
                                 .forward = {.bytes = 2 * bytes},
                                 .backward = {.bytes = 3 * bytes}};
        const std::vector<Row> found =
            check_and_time(subject, reference, device.is_cpu() ? on_cpu : everywhere, settings);
        rows.insert(rows.end(), found.begin(), found.end());
        const at::Tensor delta = at::randn_like(x);
        const Subject sum_subject = {.op = "add_rms_norm",
                                     .name = c.name,
                                     .inputs = {x, delta, weight},
                                     .upstream = std::tuple(at::randn_like(x), at::randn_like(x)),
                                     .forward = {.bytes = 4 * bytes},
                                     .backward = {.bytes = 4 * bytes}};
        const std::vector<Row> sums = check_and_time(sum_subject, sum_reference, with_sum, settings);
        rows.insert(rows.end(), sums.begin(), sums.end());
      }
    }
  }
  return rows;
}

}  // namespace bench
