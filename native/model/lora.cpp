#include "model/lora.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "core/error.h"
#include "core/random.h"
#include "io/safetensors.h"
#include "memory/transfer.h"
#include "model/layout.h"
#include "ops/linear/products.h"

namespace ehrjepa::model {
namespace {

// Far above the streams of the decoder and the predictor, so that neither changes the adapters' draws.
constexpr std::uint32_t first_adapter_stream = 2'000'000;

/// Which maps have an adapter.
std::array<bool, linear_maps> checked_targets(const LoraOptions& options) {
  if (options.rank < 1) throw Error("[lora] rank must be positive but is " + std::to_string(options.rank));
  if (!(options.alpha > 0.0)) throw Error("[lora] alpha must be positive but is " + std::to_string(options.alpha));
  if (!(options.dropout >= 0.0 && options.dropout < 1.0)) {
    throw Error("[lora] dropout must lie in [0, 1) but is " + std::to_string(options.dropout));
  }
  if (options.targets.empty()) throw Error("[lora] targets must name at least one linear map but name none");
  std::array<bool, linear_maps> chosen{};
  for (const std::string& target : options.targets) {
    std::string known;
    bool found = false;
    for (std::size_t map = 0; map < linear_maps; ++map) {
      const std::string name(module_name(static_cast<LinearMap>(map)));
      known += (map == 0 ? "" : map + 1 == linear_maps ? " and " : ", ") + name;
      if (name == target) chosen[map] = found = true;
    }
    if (!found) throw Error("[lora] targets must be of " + known + " but hold " + target);
  }
  return chosen;
}

std::vector<Weight> adapted_weights(const Qwen3Config& config, const LoraOptions& options) {
  const std::array<bool, linear_maps> chosen = checked_targets(options);
  std::vector<Weight> result = qwen3_layout(config);
  std::erase_if(
      result, [&](const Weight& weight) { return !weight.map() || !chosen[static_cast<std::size_t>(*weight.map())]; });
  return result;
}

/// Words below the threshold are dropped: the probability is a multiple of 2^-32.
std::uint32_t drop_threshold(double dropout) {
  return static_cast<std::uint32_t>(std::min(std::round(dropout * 0x1p32), 0x1p32 - 1));
}
double kept_share(double dropout) { return 1.0 - drop_threshold(dropout) * 0x1p-32; }

class LoraLinear : public torch::autograd::Function<LoraLinear> {
 public:
  /// @param key_numbers  seed, step and map; absent without dropout.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x_TI, const at::Tensor& a_RI,
                            const at::Tensor& b_OR, double scale, double dropout,
                            const std::optional<std::vector<std::int64_t>>& key_numbers) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor inner_TR = ops::linear_product(masked(x_TI, dropout, key_numbers), a_RI);
    context->save_for_backward({x_TI, a_RI, b_OR, inner_TR});
    context->saved_data["scale"] = scale;
    context->saved_data["dropout"] = dropout;
    context->saved_data["key"] = key_numbers;
    return ops::linear_product(inner_TR, b_OR).mul_(scale);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor& x_TI = saved[0];
    const at::Tensor& a_RI = saved[1];
    const at::Tensor& b_OR = saved[2];
    const at::Tensor& inner_TR = saved[3];
    const double dropout = context->saved_data["dropout"].toDouble();
    const auto key = context->saved_data["key"].toOptional<std::vector<std::int64_t>>();
    const at::Tensor grad_TO = grad_outputs[0] * context->saved_data["scale"].toDouble();
    const at::Tensor grad_inner_TR = ops::linear_input_gradient(grad_TO, b_OR);
    const at::Tensor grad_b = ops::linear_weight_gradient(grad_TO, inner_TR);
    const at::Tensor grad_a = ops::linear_weight_gradient(grad_inner_TR, masked(x_TI, dropout, key));
    at::Tensor grad_x;
    // The first block's input needs none when the embedding is frozen.
    if (context->needs_input_grad(0)) grad_x = masked(ops::linear_input_gradient(grad_inner_TR, a_RI), dropout, key);
    return {grad_x, grad_a, grad_b, at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static at::Tensor masked(const at::Tensor& x, double dropout, const std::optional<std::vector<std::int64_t>>& key) {
    if (!key) return x;
    const DropoutKey of_step{static_cast<std::uint64_t>(key->at(0)), static_cast<std::uint32_t>(key->at(1))};
    return x * memory::upload(dropout_mask(x.sizes(), dropout, of_step, static_cast<std::uint32_t>(key->at(2))),
                              x.device());
  }
};

}  // namespace

std::vector<NamedTensor> LoraAdapters::named() const {
  std::vector<NamedTensor> result;
  for (const Weight& weight : qwen3_layout(layers.size(), /*has_tied_head=*/true)) {
    const LoraAdapter* const adapter = of(weight);
    if (adapter == nullptr) continue;
    const std::string module = "base_model.model." + weight.module();
    result.push_back({module + ".lora_A.weight", adapter->a});
    result.push_back({module + ".lora_B.weight", adapter->b});
  }
  return result;
}

const LoraAdapter* LoraAdapters::of(const Weight& weight) const {
  if (empty() || !weight.map()) return nullptr;
  const LoraAdapter& adapter = layers.at(weight.layer())[static_cast<std::size_t>(*weight.map())];
  return adapter.a.defined() ? &adapter : nullptr;
}

LoraAdapters initialise_lora(const Qwen3Config& config, const LoraOptions& options, std::uint64_t seed) {
  LoraAdapters result{options.alpha / static_cast<double>(options.rank), options.dropout, {}};
  result.layers.resize(static_cast<std::size_t>(config.num_hidden_layers));
  for (const Weight& weight : adapted_weights(config, options)) {
    const std::vector<std::int64_t> shape = weight.shape(config);
    const std::int64_t out = shape[0], in = shape[1];
    const auto map = static_cast<std::size_t>(*weight.map());
    const auto stream = first_adapter_stream + static_cast<std::uint32_t>(weight.layer() * linear_maps + map);
    result.layers[weight.layer()][map] = {
        uniform_parameter({options.rank, in}, 1.0 / std::sqrt(static_cast<double>(in)), seed, stream),
        at::zeros({out, options.rank}, memory::on_host(at::kFloat))};
  }
  return result;
}

std::int64_t lora_parameter_count(const Qwen3Config& config, const LoraOptions& options) {
  std::int64_t result = 0;
  for (const Weight& weight : adapted_weights(config, options)) {
    const std::vector<std::int64_t> shape = weight.shape(config);
    result += options.rank * (shape[0] + shape[1]);
  }
  return result;
}

at::Tensor dropout_mask(at::IntArrayRef shape, double dropout, const DropoutKey& key, std::uint32_t map) {
  const at::Tensor mask = at::empty(shape, memory::on_host(at::kBool));
  bool* const kept = mask.data_ptr<bool>();
  const std::int64_t count = mask.numel();
  const std::uint32_t threshold = drop_threshold(dropout);
  constexpr std::int64_t words = 4096;
  at::parallel_for(0, (count + words - 1) / words, 1, [&](std::int64_t first, std::int64_t last) {
    std::array<std::uint32_t, words> drawn{};
    for (std::int64_t part = first; part < last; ++part) {
      // The counter is the place in the mask: threads cannot change it.
      random_words(key.seed, RandomPurpose::kDropout, key.step, map, static_cast<std::uint32_t>(part * words / 4),
                   drawn);
      const std::int64_t begin = part * words;
      const std::int64_t end = std::min(count, begin + words);
      for (std::int64_t i = begin; i < end; ++i) kept[i] = drawn[static_cast<std::size_t>(i - begin)] >= threshold;
    }
  });
  return mask;
}

at::Tensor lora_linear(const at::Tensor& x, const LoraAdapter& adapter, double scale, double dropout,
                       const std::optional<DropoutKey>& key, std::uint32_t map) {
  if (!key || dropout == 0.0) return LoraLinear::apply(x, adapter.a, adapter.b, scale, 0.0, std::nullopt);
  // 1 / (1 - p) belongs to the scale: in bfloat16 a mask that held it would be off by 0.2 %.
  return LoraLinear::apply(x, adapter.a, adapter.b, scale / kept_share(dropout), dropout,
                           std::optional(std::vector<std::int64_t>{static_cast<std::int64_t>(key->seed), key->step,
                                                                   static_cast<std::int64_t>(map)}));
}

std::vector<io::TensorToWrite> merge_lora(const std::vector<NamedTensor>& weights, const LoraAdapters& adapters) {
  std::unordered_map<std::string, const LoraAdapter*> by_name;
  for (const Weight& weight : qwen3_layout(adapters.layers.size(), /*has_tied_head=*/true)) {
    if (const LoraAdapter* const adapter = adapters.of(weight)) by_name.emplace(weight.name(), adapter);
  }
  std::vector<io::TensorToWrite> result;
  for (const NamedTensor& weight : weights) {
    result.push_back(io::to_write(weight));
    const auto found = by_name.find(weight.name);
    if (found == by_name.end()) continue;
    const at::ScalarType dtype = weight.tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    result.back().dtype = dtype;
    if (!result.back().make) continue;
    result.back().make = [dtype, base = weight.tensor.detach(), adapter = *found->second, scale = adapters.scale] {
      const at::Tensor a = adapter.a.detach().to(dtype), b = adapter.b.detach().to(dtype);
      return base.to(dtype) + b.matmul(a) * scale;
    };
  }
  return result;
}

}  // namespace ehrjepa::model
