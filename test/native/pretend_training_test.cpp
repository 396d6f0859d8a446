#include <ATen/ATen.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "infer/encoder.h"
#include "infer/score.h"
#include "memory/transfer.h"
#include "native/check.h"
#include "native/pretend/counts.h"
#include "native/pretend/kernels.h"
#include "native/pretend/memory.h"
#include "native/training_cases.h"

// The engine on a device that is not the host: the same bits as on the CPU, no stray access, one wait a step.
namespace pretend_training_test {
namespace {

using namespace ehrjepa;
using namespace ehrjepa::test;

const std::atomic<bool> running{false};

/// Three steps on the CPU and on `cuda:1`, which waits once in each.
template <typename Compare>
void compare_steps(const TrainingCase& c, const Compare& compare) {
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
void compare_named(const TrainingCase& c, const Compare& compare) {
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
  for (const TrainingCase& c : training_cases()) compare_named(c, same_bits);
}

TEST("pretend device: so do bfloat16 parameters that are rounded stochastically, and a bfloat16 base of LoRA") {
  const pretend::OwnKernels kernels;
  for (TrainingCase c : training_cases()) {
    if (c.step.optimizer.matrix_update == MatrixUpdate::kMuon) continue;  // float32 alone
    c.engine.parameter_dtype = Dtype::kBfloat16;
    c.engine.stochastic_rounding = !c.engine.lora;
    compare_named(c, same_bits);
  }
}

TEST("pretend device: bfloat16 passes are near the CPU's, which sums products of them in an order of its own") {
  const pretend::OwnKernels kernels;
  for (TrainingCase c : training_cases()) {
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
  for (const TrainingCase& c : training_cases()) {
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

TEST("pretend device: a step that may not wait is an error where it does, and leaves the model as it was") {
  const TrainingCase c = training_cases()[2];
  for (const bool in_backward : {false, true}) {
    train::WorldModel model = model_on(c.engine, "cuda:0");
    const std::vector<train::WorldModelBatch> batch = batches_of(c, model.device());
    StepOptions options = c.step;
    options.update_in_backward = in_backward;
    if (in_backward) options.gradient_clip = 0.0;
    const at::Tensor number = memory::upload(at::ones({}), model.device());
    const auto read = [&] { EXPECT(number.item<float>() == 1.0F); };
    const auto step = [&] { return train::step(model, batch, options, running, nullptr, read); };
    step();
    options.forbid_waits = true;
    EXPECT_THROWS(step(), "must not wait for the device here but does in");
    options.forbid_waits = false;
    if (in_backward) continue;  // it was in the middle of the update
    step();
    EXPECT(std::isfinite(train::step(model, batch, options, running).loss));
  }
}

TEST("pretend device: an update that is not finite is not made, and the host hears of it at the end of the step") {
  const TrainingCase plain = training_cases()[2];
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
    const TrainingCase c = training_cases()[which];
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
  const TrainingCase c = training_cases()[3];
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
}  // namespace pretend_training_test
