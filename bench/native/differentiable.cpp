#include "native/differentiable.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <sstream>
#include <stdexcept>

namespace bench {
namespace {

struct Graph {
  Outputs outputs;
  std::vector<at::Tensor> leaves;

  /// Gradients of the outputs, in their dtypes.
  Outputs as_outputs(Outputs upstream) const {
    for (std::size_t i = 0; i < upstream.size(); ++i) upstream[i] = upstream[i].to(outputs[i].scalar_type());
    return upstream;
  }
  std::vector<at::Tensor> gradients(const Outputs& upstream, bool retain) const {
    return torch::autograd::grad(outputs, leaves, upstream, retain);
  }
};

/// Inputs that a graph can be made of, any number of times.
std::vector<at::Tensor> as_leaves(std::vector<at::Tensor> inputs) {
  for (at::Tensor& input : inputs) {
    if (input.is_floating_point()) input = input.detach().clone().requires_grad_(true);
  }
  return inputs;
}

Graph run(const Differentiable& call, const std::vector<at::Tensor>& leaves) {
  Graph graph{call(leaves), {}};
  for (const at::Tensor& leaf : leaves) {
    if (leaf.requires_grad()) graph.leaves.push_back(leaf);
  }
  return graph;
}

/// Outputs, then gradients.
std::vector<at::Tensor> results(const Differentiable& call, const std::vector<at::Tensor>& inputs,
                                const Outputs& upstream) {
  const Graph graph = run(call, as_leaves(inputs));
  std::vector<at::Tensor> all;
  for (const at::Tensor& output : graph.outputs) all.push_back(output.detach());
  for (at::Tensor& gradient : graph.gradients(graph.as_outputs(upstream), /*retain=*/false)) {
    all.push_back(std::move(gradient));
  }
  return all;
}

std::vector<at::Tensor> wide(std::vector<at::Tensor> tensors) {
  for (at::Tensor& tensor : tensors) {
    if (tensor.is_floating_point()) tensor = tensor.to(at::kDouble);
  }
  return tensors;
}

double relative_error(const at::Tensor& found, const at::Tensor& exact) {
  return ((found.to(at::kDouble) - exact).norm() / exact.norm().clamp_min(1e-30)).item<double>();
}

}  // namespace

std::vector<Row> check_and_time(const Subject& subject, const Differentiable& reference,
                                const std::vector<Implementation>& implementations, const Settings& settings) {
  const std::vector<at::Tensor> exact = results(reference, wide(subject.inputs), subject.upstream);
  const std::vector<at::Tensor> plain = results(reference, subject.inputs, subject.upstream);
  const std::size_t outputs = subject.upstream.size();
  const at::ScalarType dtype = subject.inputs.front().scalar_type();
  const double rounding = dtype == at::kBFloat16 ? 4e-3 : 6e-8;
  // In float32 the order of the sums alone differs, and with it the error of long ones.
  const double factor = dtype == at::kBFloat16 ? 2 : 4;
  std::vector<std::function<void()>> forward, backward;
  for (const Implementation& implementation : implementations) {
    const std::vector<at::Tensor> found = results(implementation.call, subject.inputs, subject.upstream);
    for (std::size_t i = 0; i < exact.size(); ++i) {
      const double error = relative_error(found[i], exact[i]);
      const double limit = factor * relative_error(plain[i], exact[i]) + rounding;
      if (error <= limit) continue;
      std::ostringstream message;
      message << "[bench] " << subject.op << ", " << implementation.name << ", " << subject.name
              << ": relative error of "
              << (i < outputs ? "output " + std::to_string(i + 1) : "gradient " + std::to_string(i - outputs + 1))
              << " must be at most " << limit << " but is " << error << "; nothing was timed";
      throw std::runtime_error(message.str());
    }
    forward.push_back([&subject, call = implementation.call] {
      const at::NoGradGuard no_grad;
      call(subject.inputs);
    });
    if (subject.passes_are_one) {
      backward.push_back([&subject, call = implementation.call, leaves = as_leaves(subject.inputs)] {
        const Graph graph = run(call, leaves);
        graph.gradients(graph.as_outputs(subject.upstream), /*retain=*/false);
      });
      continue;
    }
    const Graph graph = run(implementation.call, as_leaves(subject.inputs));
    backward.push_back(
        [graph, upstream = graph.as_outputs(subject.upstream)] { graph.gradients(upstream, /*retain=*/true); });
  }
  std::vector<Row> rows;
  const auto add_rows = [&](const char* pass, const Cost& cost, const std::vector<std::function<void()>>& calls) {
    const c10::Device device = subject.inputs.front().device();
    const std::vector<Quantiles> times = time_in_turns(calls, settings, device);
    for (std::size_t i = 0; i < calls.size(); ++i) {
      rows.push_back({.op = subject.op + (device.is_cuda() ? " cuda" : "") + " " + pass +
                            (dtype == at::kBFloat16 ? " bfloat16" : " float32"),
                      .name = subject.name,
                      .implementation = implementations[i].name,
                      .bytes = cost.bytes,
                      .flops = cost.flops,
                      .p20_seconds = times[i].p20,
                      .median_seconds = times[i].median,
                      .p80_seconds = times[i].p80,
                      .device = device.is_cuda() ? "cuda" : "cpu"});
    }
  };
  add_rows("forward", subject.forward, forward);
  if (subject.passes_are_one) {
    const Cost& on = subject.forward;
    const Cost& back = subject.backward;
    add_rows("forward and backward", {on.bytes + back.bytes, on.flops + back.flops}, backward);
  } else {
    add_rows("backward", subject.backward, backward);
  }
  return rows;
}

}  // namespace bench
