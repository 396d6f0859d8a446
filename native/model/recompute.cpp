#include "model/recompute.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <mutex>
#include <utility>

#include "model/graph_node.h"

namespace ehrjepa::model {
namespace {

class Recomputation : public torch::autograd::Node {
 public:
  Recomputation(NetworkPart part, const std::vector<at::Tensor>& inputs) : part_(std::move(part)) {
    for (const at::Tensor& input : inputs) inputs_.emplace_back(input, /*is_output=*/false);
  }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& grad_outputs) override {
    std::vector<at::Tensor> inputs, wanted;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const bool wants_gradient = task_should_compute_output(i);
      inputs.push_back(inputs_[i].unpack().detach().requires_grad_(wants_gradient));
      if (wants_gradient) wanted.push_back(inputs.back());
    }
    std::vector<at::Tensor> outputs, gradients;
    {
      const at::AutoGradMode with_graph(true);
      const std::vector<at::Tensor> all = part_(inputs);
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (!grad_outputs[i].defined()) continue;
        outputs.push_back(all[i]);
        gradients.push_back(std::move(grad_outputs[i]));
      }
    }
    const std::vector<at::Tensor> found = torch::autograd::grad(outputs, wanted, gradients, /*retain_graph=*/false,
                                                                /*create_graph=*/false, /*allow_unused=*/true);
    torch::autograd::variable_list result(inputs_.size());
    for (std::size_t i = 0, next = 0; i < inputs_.size(); ++i) {
      if (task_should_compute_output(i)) result[i] = found[next++];
    }
    return result;
  }

  void release_variables() override {
    const std::lock_guard lock(mutex_);
    for (torch::autograd::SavedVariable& input : inputs_) input.reset_data();
  }

  std::string name() const override { return "Recomputation"; }

 private:
  NetworkPart part_;
  std::vector<torch::autograd::SavedVariable> inputs_;
};

}  // namespace

std::vector<at::Tensor> recomputed(NetworkPart part, const std::vector<at::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return part(inputs);
  std::vector<at::Tensor> outputs;
  {
    const at::NoGradGuard no_graph;
    outputs = part(inputs);
  }
  const auto node = make_graph_node<Recomputation>(std::move(part), inputs);
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  torch::autograd::set_history(outputs, node);
  return outputs;
}

}  // namespace ehrjepa::model
