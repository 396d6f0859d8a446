#include <ATen/ATen.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "contract/fields.h"
#include "infer/encoder.h"
#include "infer/score.h"
#include "native/check.h"
#include "native/pretend/counts.h"
#include "native/pretend/kernels.h"
#include "native/pretend/memory.h"
#include "native/random_batch.h"
#include "train/step.h"

// The engine on a device that is not the host: the same bits as on the CPU, no stray access, one wait a step.
namespace {

using namespace ehrjepa;
using namespace ehrjepa::test;

const std::atomic<bool> running{false};

/// A way of training.
struct Case {
  std::string name;
  EngineOptions engine;
  StepOptions step;
  BranchKind branch = BranchKind::kIsolated;
  int micro_batches = 1;
};

LoraOptions lora_with_dropout() {
  return {.rank = 3, .alpha = 6, .dropout = 0.2, .targets = {"q_proj", "v_proj", "down_proj"}};
}

std::vector<Case> cases() {
  const EngineOptions plain{.config = config_of(true), .predictor = mlp_predictor, .seed = 5};
  StepOptions step;
  step.optimizer.learning_rate = 3e-3;
  step.gradient_clip = 0.5;
  step.seed = 11;
  step.with_collapse_monitors = true;
  std::vector<Case> result;
  const auto add = [&](const std::string& name, BranchKind branch, const auto& change) {
    Case& added = result.emplace_back(Case{name, plain, step, branch});
    change(added);
  };
  add("next token alone", BranchKind::kCausal, [](Case& c) { c.step.latent_weight = 0.0; });
  add("latent alone", BranchKind::kCausal, [](Case& c) { c.step.next_token_weight = 0.0; });
  add("masked copies", BranchKind::kCausal, [](Case&) {});
  add("queries, untied head", BranchKind::kIsolated, [](Case& c) { c.engine.config = config_of(false); });
  add("from the state", BranchKind::kState, [](Case& c) { c.engine.predictor = state_predictor; });
  add("transformer predictor", BranchKind::kIsolated, [](Case& c) { c.engine.predictor = transformer_predictor; });
  add("two views", BranchKind::kViews, [](Case& c) {
    c.step.latent.target = TargetKind::kViews;
    c.step.latent.loss = LatentLossKind::kCosine;
    c.engine.predictor = {};
  });
  add("online target, all terms", BranchKind::kIsolated, [](Case& c) {
    c.step.latent.target = TargetKind::kOnline;
    c.step.latent.loss = LatentLossKind::kSmoothL1;
    c.step.latent.anti_collapse = {{"variance", 0.5}, {"covariance", 0.1}, {"sigreg", 0.2}};
  });
  add("two target layers", BranchKind::kCausal, [](Case& c) {
    c.step.latent.target_layers = 2;
    c.step.latent.loss = LatentLossKind::kL1;
  });
  add("micro-batches and interference", BranchKind::kIsolated, [](Case& c) {
    c.micro_batches = 2;
    c.step.with_interference = true;
  });
  add("clip by parameter", BranchKind::kIsolated, [](Case& c) { c.step.clip_by = ClipBy::kParameter; });
  add("update in the backward pass", BranchKind::kIsolated, [](Case& c) {
    c.step.clip_by = ClipBy::kParameter;
    c.step.update_in_backward = true;
  });
  add("matrices by Muon", BranchKind::kIsolated, [](Case& c) { c.step.optimizer.matrix_update = MatrixUpdate::kMuon; });
  add("checkpointed blocks", BranchKind::kIsolated,
      [](Case& c) { c.engine.activation_checkpointing = ActivationCheckpointing::kBlock; });
  add("checkpointed MLPs", BranchKind::kCausal,
      [](Case& c) { c.engine.activation_checkpointing = ActivationCheckpointing::kSelective; });
  add("LoRA with dropout", BranchKind::kIsolated, [](Case& c) { c.engine.lora = lora_with_dropout(); });
  add("frozen embedding", BranchKind::kIsolated, [](Case& c) { c.engine.frozen = {"model.embed_tokens.weight"}; });
  return result;
}

template <typename Struct>
void expect_same(const Struct& found, const Struct& expected) {
  const auto compare = [&](const auto& field) {
    if (found.*field.member != expected.*field.member) {
      check::fail(__FILE__, __LINE__, std::string(field.name) + " is another than on the CPU");
    }
  };
  std::apply([&](const auto&... field) { (..., compare(field)); }, Fields<Struct>::list);
}

std::vector<train::WorldModelBatch> batches_of(const Case& c, at::Device device) {
  std::vector<train::WorldModelBatch> result;
  for (int i = 0; i < c.micro_batches; ++i) {
    result.push_back(random_batch(2 + 16 * static_cast<unsigned>(i), 24, c.branch).packed(vocabulary, device));
  }
  return result;
}

std::vector<at::Tensor> state_of(train::WorldModel& model) {
  std::vector<at::Tensor> result;
  for (const auto& list : {model.encoder_tensors(), model.training().trainable, model.training().optimizer.state(),
                           model.training().target_encoder.weights().trainable(model.config())}) {
    for (const model::NamedTensor& entry : list) result.push_back(entry.tensor.detach());
  }
  return result;
}

train::WorldModel model_on(EngineOptions options, const char* device) {
  options.device = device;
  return train::WorldModel(options);
}

/// Three steps on the CPU and on `cuda:1`, which waits once in each.
template <typename Compare>
void compare_steps(const Case& c, const Compare& compare) {
  train::WorldModel host = model_on(c.engine, "cpu"), device = model_on(c.engine, "cuda:1");
  const std::vector<train::WorldModelBatch> on_host = batches_of(c, at::kCPU),
                                            on_device = batches_of(c, device.device());
  StepOptions options = c.step;
  for (options.step = 0; options.step < 3; ++options.step) {
    options.restart_target = options.step == 1;
    const StepResult expected = train::step(host, on_host, options, running);
    const pretend::Counts before = pretend::counts();
    const StepResult found = train::step(device, on_device, options, running);
    EXPECT(pretend::counts().waits == before.waits + 1);
    compare(found, expected);
  }
  const std::vector<at::Tensor> expected = state_of(host), found = state_of(device);
  EXPECT(found.size() == expected.size());
  const auto steps = [](const at::Tensor& tensor) { return tensor.dim() == 0; };
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT(steps(found[i]) ? found[i].is_cpu() : found[i].device() == at::Device(at::kPrivateUse1, 1));
    compare(found[i].to(at::kCPU), expected[i]);
  }
}

template <typename Compare>
void compare_named(const Case& c, const Compare& compare) {
  try {
    compare_steps(c, compare);
  } catch (const std::exception& error) {
    check::fail(__FILE__, __LINE__, c.name + ": " + error.what());
  }
}

constexpr auto same_bits = [](const auto& found, const auto& expected) {
  if constexpr (std::is_same_v<std::decay_t<decltype(found)>, at::Tensor>) {
    EXPECT(found.equal(expected));
  } else {
    expect_same(found, expected);
  }
};

TEST("pretend device: every objective takes the CPU's steps to the bit, and the host waits once in each") {
  const pretend::OwnKernels kernels;
  for (const Case& c : cases()) compare_named(c, same_bits);
}

TEST("pretend device: so do bfloat16 parameters that are rounded stochastically, and a bfloat16 base of LoRA") {
  const pretend::OwnKernels kernels;
  for (Case c : cases()) {
    if (c.step.optimizer.matrix_update == MatrixUpdate::kMuon) continue;  // float32 alone
    c.engine.parameter_dtype = Dtype::kBfloat16;
    c.engine.stochastic_rounding = !c.engine.lora;
    compare_named(c, same_bits);
  }
}

TEST("pretend device: bfloat16 passes are near the CPU's, which sums products of them in an order of its own") {
  const pretend::OwnKernels kernels;
  for (Case c : cases()) {
    c.engine.compute_dtype = Dtype::kBfloat16;
    compare_named(c, [](const auto& found, const auto& expected) {
      if constexpr (std::is_same_v<std::decay_t<decltype(found)>, at::Tensor>) {
        EXPECT(found.isfinite().all().template item<bool>());
      } else {
        EXPECT_CLOSE(found.loss, expected.loss, 0.03 * std::abs(expected.loss));
      }
    });
  }
}

TEST("pretend device: without kernels for it every op is computed by its reference, and still waits once a step") {
  for (const Case& c : cases()) {
    compare_named(c, [](const auto& found, const auto& expected) {
      if constexpr (std::is_same_v<std::decay_t<decltype(found)>, at::Tensor>) {
        // Adam divides by the gradient's own size: one that is rounding alone may turn either way.
        EXPECT_LE((found - expected).abs().max().template item<double>(), 0.02);
      } else {
        EXPECT_CLOSE(found.loss, expected.loss, 1e-4 * std::abs(expected.loss));
        EXPECT_CLOSE(found.gradient_norm, expected.gradient_norm, 1e-3 * expected.gradient_norm);
      }
    });
  }
}

TEST("pretend device: an update that is not finite is not made, and the host hears of it at the end of the step") {
  const Case plain = cases()[2];
  for (const bool with_kernels : {true, false}) {
    const auto kernels = with_kernels ? std::make_unique<pretend::OwnKernels>() : nullptr;
    train::WorldModel model = model_on(plain.engine, "cuda:0");
    const std::vector<train::WorldModelBatch> batch = batches_of(plain, model.device());
    StepOptions options = plain.step;
    options.with_collapse_monitors = false;
    train::step(model, batch, options, running);
    {
      const at::NoGradGuard no_grad;
      model.encoder().norm.select(0, 0).fill_(1e38);
    }
    std::vector<at::Tensor> before;
    for (const at::Tensor& tensor : state_of(model)) before.push_back(tensor.to(at::kCPU).clone());
    EXPECT_THROWS(train::step(model, batch, options, running), "must be finite but is");
    const std::vector<at::Tensor> after = state_of(model);
    for (std::size_t i = 0; i < after.size(); ++i) EXPECT(after[i].to(at::kCPU).equal(before[i]));
  }
}

TEST("pretend device: a step for which memory runs out throws, leaves all as it was, and the next one is the CPU's") {
  const pretend::OwnKernels kernels;
  for (const std::size_t which : {std::size_t{2}, std::size_t{14}, std::size_t{15}}) {
    const Case c = cases()[which];
    train::WorldModel host = model_on(c.engine, "cpu"), device = model_on(c.engine, "cuda:1");
    const std::vector<train::WorldModelBatch> on_host = batches_of(c, at::kCPU),
                                              on_device = batches_of(c, device.device());
    StepOptions options = c.step;
    pretend::forget_peak(1);
    same_bits(train::step(device, on_device, options, running), train::step(host, on_host, options, running));
    options.step = 1;
    std::vector<at::Tensor> before;
    for (const at::Tensor& tensor : state_of(device)) before.push_back(tensor.to(at::kCPU).clone());
    const pretend::Held held = pretend::held_on(1);
    EXPECT(held.peak > held.now);
    constexpr std::size_t places = 6, page = 4096;
    for (std::size_t i = 0; i < places; ++i) {
      pretend::limit_memory(held.now + (held.peak - held.now - page) * i / (places - 1));
      std::string type;
      try {
        train::step(device, on_device, options, running);
      } catch (const c10::OutOfMemoryError&) {
        type = "out of memory";
      }
      pretend::limit_memory(std::nullopt);
      EXPECT(type == "out of memory");
      // The thread of the backward pass may still be letting go of it.
      for (int tries = 0; tries < 5000 && pretend::held_on(1).now != held.now; ++tries) usleep(1000);
      EXPECT(pretend::held_on(1).now == held.now);
      const std::vector<at::Tensor> after = state_of(device);
      for (std::size_t k = 0; k < after.size(); ++k) EXPECT(after[k].to(at::kCPU).equal(before[k]));
    }
    same_bits(train::step(device, on_device, options, running), train::step(host, on_host, options, running));
  }
}

TEST("pretend device: states, scores and losses are the CPU's; only their results come to the host") {
  const pretend::OwnKernels kernels;
  const Case c = cases()[3];
  const train::WorldModel host = model_on(c.engine, "cpu"), device = model_on(c.engine, "cuda:1");
  const model::PackedTokens on_host = batches_of(c, at::kCPU)[0].packed.trunk();
  const model::PackedTokens on_device = batches_of(c, device.device())[0].packed.trunk();
  const std::vector<std::int32_t> ends(on_host.layout.cu_seqlens.begin() + 1, on_host.layout.cu_seqlens.end());
  const std::vector<std::int32_t> layers = {0, 1, 2};
  for (const Pooling pooling : {Pooling::kLast, Pooling::kMean, Pooling::kRecent}) {
    const at::Tensor expected =
        infer::embed(host.encoder(), host.config(), at::kFloat, on_host, ends, pooling, layers, running);
    const pretend::Counts before = pretend::counts();
    const at::Tensor found =
        infer::embed(device.encoder(), device.config(), at::kFloat, on_device, ends, pooling, layers, running);
    EXPECT(pretend::counts().waits == before.waits);
    EXPECT(found.to(at::kCPU).equal(expected));
  }
  const infer::ScoreTensors expected = infer::score(host.encoder(), host.config(), at::kFloat, on_host, true, running);
  const infer::ScoreTensors found =
      infer::score(device.encoder(), device.config(), at::kFloat, on_device, true, running);
  EXPECT(found.log_probabilities.to(at::kCPU).equal(expected.log_probabilities));
  EXPECT(found.hidden.to(at::kCPU).equal(expected.hidden));
}

}  // namespace
