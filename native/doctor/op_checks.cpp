#include "doctor/op_checks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/random.h"
#include "doctor/op_cases.h"
#include "memory/device.h"
#include "memory/transfer.h"
#include "ops/adamw/adamw.h"
#include "ops/attention/ways.h"
#include "ops/isa.h"
#include "ops/kernels_of.h"

namespace ehrjepa::doctor {
namespace {

// A norm of one number in a hundred thousand off is a wrong kernel in float32; bfloat16 rounds to one in 256.
constexpr double float32_limit = 1e-5, bfloat16_limit = 2e-2;
constexpr const char* adamw_name = "AdamW and target";
constexpr OpSizes checked_sizes{.tokens = 300, .hidden = 256, .vocabulary = 997};

/// (shape) normal numbers in float32 on the host.
at::Tensor drawn(const std::vector<std::int64_t>& shape, std::uint32_t stream) {
  const at::Tensor result = at::empty(shape, memory::on_host(at::kFloat));
  RandomStream random(1, RandomPurpose::kInitialisation, stream);
  auto* const values = result.data_ptr<float>();
  // Products of a hundred features stay of the size of one.
  const double scale = shape.size() == 2 && shape[0] != checked_sizes.tokens ? 0.1 : 1.0;
  for (std::int64_t i = 0; i < result.numel(); ++i) values[i] = static_cast<float>(scale * random.normal());
  return result;
}

std::vector<at::Tensor> inputs_of(const OpCase& op) {
  std::vector<at::Tensor> result;
  for (const auto& shape : op.shapes) result.push_back(drawn(shape, static_cast<std::uint32_t>(result.size())));
  return result;
}

std::vector<at::Tensor> placed(const std::vector<at::Tensor>& inputs, at::Device device, at::ScalarType dtype,
                               at::ScalarType rounded_to) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& input : inputs) {
    result.push_back(memory::upload(input.to(rounded_to).to(dtype), device).requires_grad_(true));
  }
  return result;
}

/// The result of a function and its gradients, under the same upstream gradient everywhere.
std::vector<at::Tensor> results_of(const OpFunction& function, const std::vector<at::Tensor>& inputs) {
  const at::AutoGradMode with_graph(true);
  const at::Tensor result = function(inputs);
  const at::Tensor upstream = memory::upload(drawn(result.sizes().vec(), 99).to(result.scalar_type()), result.device());
  std::vector<at::Tensor> all = torch::autograd::grad({result}, inputs, {upstream});
  all.insert(all.begin(), result.detach());
  return all;
}

double error_of(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected) {
  double worst = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const at::Tensor host = found[i].to(at::kCPU).to(at::kDouble), truth = expected[i].to(at::kDouble);
    const double error = ((host - truth).norm() / truth.norm()).item<double>();
    worst = std::isfinite(error) ? std::max(worst, error) : std::numeric_limits<double>::infinity();
  }
  return worst;
}

double error_of(const OpCase& op, at::Device device, at::ScalarType dtype) {
  const std::vector<at::Tensor> inputs = inputs_of(op);
  return error_of(results_of(op.op, placed(inputs, device, dtype, dtype)),
                  results_of(op.reference, placed(inputs, at::kCPU, at::kDouble, dtype)));
}

/// Median seconds of a call, the device waited for.
template <typename Run>
double seconds_of(bool quick, const Run& run) {
  std::vector<double> seconds;
  const int rounds = quick ? 3 : 10;
  for (int i = -1; i < rounds; ++i) {
    const auto before = std::chrono::steady_clock::now();
    const at::Tensor last = run();
    memory::read_back({last.reshape({-1}).narrow(0, 0, 1)});
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
    if (i >= 0) seconds.push_back(took.count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + rounds / 2, seconds.end());
  return seconds[static_cast<std::size_t>(rounds / 2)];
}

/// What a device is fast in.
at::ScalarType timed_dtype(at::Device device) {
  return device.is_cpu() && !ops::multiplies_bfloat16() ? at::kFloat : at::kBFloat16;
}

OpCheck timed_check(const OpCase& op, const OpCase& timed, at::Device device, at::ScalarType dtype, bool quick,
                    double float32_error, double bfloat16_error) {
  OpCheck result{.name = op.name, .float32_limit = float32_limit, .bfloat16_limit = bfloat16_limit};
  result.float32_error = float32_error;
  result.bfloat16_error = bfloat16_error;
  const std::vector<at::Tensor> inputs = placed(inputs_of(timed), device, dtype, dtype);
  result.kernels = !op.function.empty() && ops::has_kernels(ops::function_named(op.function.c_str()), inputs.front());
  result.seconds = seconds_of(quick, [&] { return results_of(timed.op, inputs).back(); });
  result.dtype = dtype == at::kFloat ? "float32" : "bfloat16";
  result.flops = timed.flops;
  result.bytes = timed.elements * static_cast<double>(c10::elementSize(dtype));
  return result;
}

OpCheck checked(const OpCase& op, const OpCase& timed, at::Device device, bool quick) {
  return timed_check(op, timed, device, timed_dtype(device), quick, error_of(op, device, at::kFloat),
                     error_of(op, device, at::kBFloat16));
}

/// Parameter, moments, target and gradient after an update that has a scale and a target.
std::vector<at::Tensor> updated(std::int64_t count, at::Device device, at::ScalarType dtype, bool by_reference) {
  const auto placed_here = [&](std::uint32_t stream) {
    return memory::upload(drawn({count}, stream).to(dtype), device);
  };
  const ops::AdamWTensors tensors{placed_here(1), placed_here(2), placed_here(3).square(), placed_here(4),
                                  placed_here(5)};
  const ops::AdamWUpdate update{
      .gradient_scale = memory::upload(at::scalar_tensor(0.7, memory::on_host(at::kDouble)), device),
      .learning_rate = 0.01,
      .weight_decay = 0.1,
      .updates = 3,
      .momentum = 0.99,
      .seed = 7,
      .step = 3};
  by_reference ? ops::adamw_reference_(tensors, update) : ops::adamw_(tensors, update);
  return {tensors.parameter, tensors.exp_avg, tensors.exp_avg_sq, tensors.target};
}

OpCheck checked_adamw(const OpSizes& timed, at::Device device, bool quick) {
  OpCheck result{.name = adamw_name, .float32_limit = float32_limit, .bfloat16_limit = bfloat16_limit};
  const auto error = [&](at::ScalarType dtype) {
    return error_of(updated(70'001, device, dtype, false), updated(70'001, at::kCPU, dtype, true));
  };
  result.float32_error = error(at::kFloat);
  result.bfloat16_error = error(at::kBFloat16);
  const std::int64_t count = timed.vocabulary * timed.hidden;
  const auto values = [&] { return memory::upload(drawn({count}, 1), device); };
  const ops::AdamWTensors tensors{values(), values(), values().square(), values(), values()};
  result.kernels = ops::has_kernels(ops::function_named("ehrjepa::adamw_"), tensors.parameter);
  result.seconds = seconds_of(quick, [&] {
    ops::adamw_(tensors, {.learning_rate = 1e-3, .momentum = 0.99});
    return tensors.target;
  });
  result.dtype = "float32";
  result.bytes = 9.0 * 4.0 * static_cast<double>(count);
  return result;
}

/// Attention by each way, whichever the op takes.
std::vector<NamedCheck> way_checks(const OpSizes& timed_sizes, std::int64_t head, at::Device device, bool quick) {
  const AttentionOp small = attention_op(checked_sizes, head), timed = attention_op(timed_sizes, head);
  const auto ways_in = [&](at::ScalarType type) {
    return ops::attention_ways(at::empty(small.shapes[0], at::TensorOptions(device).dtype(type)), false, false);
  };
  const std::vector<ops::AttentionChoice> wide = ways_in(at::kFloat);
  std::vector<NamedCheck> result;
  for (const ops::AttentionChoice way : ways_in(at::kBFloat16)) {
    const auto as_op = [&](const AttentionOp& op) {
      return OpCase{.name = with_heads(std::string("attention by ") + ops::name_of(way), head),
                    .function = way == ops::AttentionChoice::kKernels ? "ehrjepa::attention_forward" : "",
                    .shapes = op.shapes,
                    .op =
                        [way, layout = op.layout, scale = op.softmax_scale](const std::vector<at::Tensor>& in) {
                          return ops::attention_by(way, in[0], in[1], in[2], layout, scale, std::nullopt);
                        },
                    .reference =
                        [layout = op.layout, scale = op.softmax_scale](const std::vector<at::Tensor>& in) {
                          return ops::attention_reference(in[0], in[1], in[2], layout, scale);
                        },
                    .flops = op.flops,
                    .elements = op.elements};
    };
    const bool in_float32 = std::find(wide.begin(), wide.end(), way) != wide.end();
    const OpCase checked = as_op(small);
    result.push_back({checked.name, [=, on_timed = as_op(timed)] {
                        return timed_check(checked, on_timed, device, timed_dtype(device), quick,
                                           in_float32 ? error_of(checked, device, at::kFloat) : -1.0,
                                           error_of(checked, device, at::kBFloat16));
                      }});
  }
  return result;
}

}  // namespace

std::vector<NamedCheck> op_checks(const OpCheckOptions& options) {
  const at::Device device = memory::device_named(options.device);
  const bool quick = options.quick;
  const OpSizes timed_sizes = quick ? checked_sizes : OpSizes{.tokens = 3300, .hidden = 2048, .vocabulary = 16'384};
  const std::vector<OpCase> cases = op_cases(checked_sizes), timed = op_cases(timed_sizes);
  std::vector<NamedCheck> result;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    result.push_back(
        {cases[i].name, [=, op = cases[i], on_timed = timed[i]] { return checked(op, on_timed, device, quick); }});
  }
  result.push_back({adamw_name, [=] { return checked_adamw(timed_sizes, device, quick); }});
  for (const std::int64_t head : head_sizes) {
    const std::vector<NamedCheck> ways = way_checks(timed_sizes, head, device, quick);
    result.insert(result.end(), ways.begin(), ways.end());
  }
  return result;
}

std::vector<OpCheck> check_ops(const OpCheckOptions& options, const std::atomic<bool>& cancelled) {
  std::vector<OpCheck> result;
  for (const NamedCheck& check : op_checks(options)) {
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    result.push_back(check.run());
  }
  return result;
}

}  // namespace ehrjepa::doctor
