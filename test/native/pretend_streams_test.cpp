#include <ATen/ATen.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "api/engine.h"
#include "contract/fields.h"
#include "io/device_reader.h"
#include "io/safetensors.h"
#include "memory/device.h"
#include "memory/host_copies.h"
#include "memory/streams.h"
#include "memory/transfer.h"
#include "native/check.h"
#include "native/pretend/counts.h"
#include "native/pretend/kernels.h"
#include "native/pretend/streams.h"
#include "native/random_batch.h"
#include "train/step.h"

// Work on several streams of a device: the CPU's bits, no waiting of the host, and every wait of a stream needed.
namespace pretend_streams_test {
namespace {

using namespace ehrjepa;
using namespace ehrjepa::test;

const std::atomic<bool> running{false};

struct TemporaryFile {
  std::string path;
  explicit TemporaryFile(const std::string& name)
      : path((std::filesystem::temp_directory_path() / ("ehrjepa-" + std::to_string(::getpid()) + name)).string()) {}
  ~TemporaryFile() { std::filesystem::remove(path); }
  std::string bytes() const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

EngineOptions engine_on(const char* device) {
  EngineOptions options{.config = config_of(true), .predictor = mlp_predictor, .seed = 5};
  options.device = device;
  return options;
}

StepOptions step_options() {
  StepOptions options;
  options.optimizer.learning_rate = 3e-3;
  options.gradient_clip = 0.5;
  options.seed = 11;
  options.with_collapse_monitors = true;
  return options;
}

std::vector<TrainingBatch> batches_of(unsigned seed) {
  return {random_batch(seed, 24, BranchKind::kIsolated).for_training()};
}

template <typename Struct>
void expect_same(const Struct& found, const Struct& expected) {
  std::apply([&](const auto&... field) { (..., ([&] { EXPECT(found.*field.member == expected.*field.member); }())); },
             Fields<Struct>::list);
}

TEST("pretend device: a stream that uses what another may still write, or writes what it may read, is an error") {
  const at::Device device = memory::device_named("cuda:0");
  memory::SideStream side(device);
  const auto fresh = [&] { return memory::upload(at::ones({4}), device) * 2; };
  const at::Tensor x = fresh();
  EXPECT_THROWS(side.run([&] { return x + 1; }), "wrote without waiting for it");
  side.follow();
  at::Tensor y = side.run([&] { return x + 1; });
  EXPECT_THROWS(y.add_(1), "without waiting for it");
  EXPECT_THROWS(x.add_(1), "may still read");
  side.mark().wait();
  x.add_(1);
  EXPECT((y * 1).to(at::kCPU).equal(at::full({4}, 3.0F)));

  // What is freed may be given out again, by the stream that it belongs to.
  side.follow();
  {
    const at::Tensor held = side.run([&] { return x.clone(); });
    side.mark().wait();
    (void)(held + 1);
  }
  EXPECT_THROWS(side.run([&] { return at::zeros({4}, x.options()); }), "may still read");
  side.follow();
  {
    const at::Tensor held = side.run([&] { return x.clone(); });
    side.mark().wait();
    side.lend(held);
    (void)(held + 1);
  }
  side.run([&] { return at::zeros({4}, x.options()); });

  // The host knows what it has waited for.
  const at::Tensor late = fresh();
  (void)late.sum().item<double>();
  EXPECT(side.run([&] { return late + 1; }).device() == device);
  pretend::host_waits_for_device(0);
}

TEST("pretend device: copies to and from pinned memory are through when the host has waited, and no sooner") {
  const at::Device device = memory::device_named("cuda:1");
  const at::Tensor x = memory::upload(at::arange(6.0F), device);
  memory::SideStream side(device);
  const pretend::Counts before = pretend::counts();
  const memory::HostCopies copies = memory::copy_to_host({x, at::ones({2})}, side);
  EXPECT(pretend::counts().downloads == before.downloads + 1 && pretend::counts().waits == before.waits);
  EXPECT(copies.tensors[0].is_cpu() && copies.tensors[0].isnan().all().item<bool>());
  EXPECT_THROWS(x.add_(1), "may still read");
  copies.made.wait();
  x.add_(1);
  copies.made.wait_on_host();
  EXPECT(copies.tensors[0].equal(at::arange(6.0F)) && copies.tensors[1].equal(at::ones({2})));

  const at::Tensor pinned = at::empty({4}, memory::on_host(at::kFloat).pinned_memory(true)).fill_(1);
  const at::Tensor up = at::empty({4}, memory::on_host(at::kFloat).device(device));
  up.copy_(pinned, /*non_blocking=*/true);
  pinned.fill_(2);
  EXPECT_THROWS(up.to(at::kCPU), "pinned memory was changed before its copy to the device was through");
  pretend::host_waits_for_device(1);
  EXPECT(pretend::counts().pinned_uploads == before.pinned_uploads + 1);
}

TEST("pretend device: the EMA target is computed beside the encoder, and both waits of its stream are needed") {
  const pretend::OwnKernels kernels;
  train::WorldModel host(engine_on("cpu")), device(engine_on("cuda:1"));
  StepOptions options = step_options();
  options.with_collapse_monitors = false;  // they keep what the second target would be written over
  const auto batch = [&](at::Device on) {
    return std::vector{random_batch(2, 24, BranchKind::kIsolated).packed(vocabulary, on),
                       random_batch(18, 24, BranchKind::kCausal).packed(vocabulary, on)};
  };
  for (options.step = 0; options.step < 2; ++options.step) {
    const pretend::Counts before = pretend::counts();
    expect_same(train::step(device, batch(device.device()), options, running),
                train::step(host, batch(at::kCPU), options, running));
    const pretend::Counts after = pretend::counts();
    EXPECT(after.side_ops > before.side_ops + 20);
    EXPECT(after.stream_waits == before.stream_waits + 4);
  }
  for (std::int64_t i = 0; i < 4; ++i) {
    const std::vector<train::WorldModelBatch> uploaded = batch(device.device());
    const pretend::WithoutWait without(i);
    EXPECT_THROWS(train::step(device, uploaded, options, running), "[pretend] aten::");
    pretend::host_waits_for_device(1);
  }
  // Nothing of it is left.
  expect_same(train::step(device, batch(device.device()), options, running),
              train::step(host, batch(at::kCPU), options, running));
  options.latent.target = TargetKind::kOnline;
  const pretend::Counts before = pretend::counts();
  train::step(device, batch(device.device()), options, running);
  EXPECT(pretend::counts().side_ops == before.side_ops);
}

TEST("pretend device: batches go up a step ahead, and the step that is given them waits for them on the device") {
  const pretend::OwnKernels kernels;
  api::Engine host(engine_on("cpu")), device(engine_on("cuda:1")), unprepared(engine_on("cuda:0"));
  StepOptions options = step_options();
  const auto both = [&](const std::vector<TrainingBatch>& batches, const std::vector<TrainingBatch>& next) {
    const StepResult expected = host.step(batches, options, next, running);
    const pretend::Counts before = pretend::counts();
    expect_same(device.step(batches, options, next, running), expected);
    const pretend::Counts after = pretend::counts();
    EXPECT(after.waits == before.waits + 1);
    EXPECT(after.uploads - before.uploads == after.pinned_uploads - before.pinned_uploads);
    ++options.step;
    return after.uploads - before.uploads;
  };
  // The first step makes the training state, whose weights go up as they are.
  expect_same(device.step(batches_of(50), options, batches_of(2), running),
              host.step(batches_of(50), options, {}, running));
  unprepared.step(batches_of(50), options, {}, running);
  options.step = 1;
  both(batches_of(2), batches_of(18));
  both(batches_of(18), batches_of(34));
  const std::int64_t first = pretend::counts().uploads;
  unprepared.step(batches_of(34), options, {}, running);
  const std::int64_t without = pretend::counts().uploads - first;
  EXPECT(both(batches_of(34), {}) < without);

  // Another batch than the one that was announced, and one that breaks a rule.
  both(batches_of(2), batches_of(18));
  std::vector<TrainingBatch> broken = batches_of(66);
  broken[0].tokens[0] = -1;
  both(batches_of(34), broken);
  EXPECT_THROWS(device.step(broken, options, {}, running), "tokens must lie in");
  both(batches_of(2), batches_of(18));
  {
    const pretend::WithoutWait without_wait(0);
    EXPECT_THROWS(device.step(batches_of(18), options, {}, running), "without waiting for it");
    pretend::host_waits_for_device(1);
  }
  both(batches_of(34), {});
}

TEST("pretend device: a snapshot is the state of its moment, however soon the next update, and nobody waits for it") {
  const pretend::OwnKernels kernels;
  const std::vector<StateKind> kinds = {StateKind::kEncoder, StateKind::kTargetEncoder, StateKind::kPredictor,
                                        StateKind::kOptimizer};
  for (const bool in_backward : {false, true}) {
    api::Engine host(engine_on("cpu")), device(engine_on("cuda:1"));
    StepOptions options = step_options();
    options.clip_by = ClipBy::kParameter;
    options.update_in_backward = in_backward;
    host.step(batches_of(2), options, {}, running);
    device.step(batches_of(2), options, {}, running);
    const pretend::Counts before = pretend::counts();
    const std::shared_ptr<api::Snapshot> found = device.snapshot(kinds);
    EXPECT(pretend::counts().waits == before.waits && pretend::counts().downloads > before.downloads + 20);
    const std::shared_ptr<api::Snapshot> expected = host.snapshot(kinds);
    options.step = 1;
    device.step(batches_of(18), options, {}, running);
    for (const StateKind kind : kinds) {
      const TemporaryFile a(".found"), b(".expected");
      found->write(kind, a.path, {});
      expected->write(kind, b.path, {});
      EXPECT(a.bytes() == b.bytes() && a.bytes().size() > 1000);
    }
    // Target's two waits, then that for the copies.
    const std::shared_ptr<api::Snapshot> last = device.snapshot({StateKind::kPredictor});
    options.step = 2;
    const pretend::WithoutWait without(2);
    EXPECT_THROWS(device.step(batches_of(34), options, {}, running), "may still read");
    pretend::host_waits_for_device(1);
  }
}

TEST("pretend device: files are read straight onto it, in pieces, converted there, to tensors of one buffer") {
  const at::Device device = memory::device_named("cuda:1");
  const std::vector<std::vector<std::int64_t>> shapes = {{700}, {3}, {64, 129}, {0}, {1, 5000}};
  const std::vector<std::pair<Dtype, at::ScalarType>> dtypes = {
      {Dtype::kFloat32, at::kFloat}, {Dtype::kFloat16, at::kHalf}, {Dtype::kBfloat16, at::kBFloat16}};
  for (const auto& [dtype, stored] : dtypes) {
    std::vector<io::NamedTensor> tensors;
    for (std::size_t i = 0; i < shapes.size(); ++i) tensors.push_back({std::to_string(i), at::randn(shapes[i])});
    const TemporaryFile file(".safetensors");
    io::write_safetensors(file.path, tensors, {}, dtype);
    const io::File opened(file.path, O_RDONLY);
    for (const at::ScalarType wanted : {at::kFloat, at::kBFloat16}) {
      const std::vector<at::Tensor> made = io::tensors_in_one_buffer(shapes, wanted, device);
      std::uint64_t begin = opened.size();
      for (const io::NamedTensor& tensor : tensors)
        begin -= static_cast<std::uint64_t>(tensor.tensor.numel()) * c10::elementSize(stored);
      std::vector<io::DeviceRead> reads;
      for (std::size_t i = 0; i < made.size(); ++i) {
        reads.push_back({&opened, begin, stored, made[i]});
        begin += static_cast<std::uint64_t>(made[i].numel()) * c10::elementSize(stored);
      }
      const pretend::Counts before = pretend::counts();
      std::atomic<std::int64_t> pieces = 0;
      io::read_to_device(reads, device, [&](std::size_t, std::int64_t, const at::Tensor&) { ++pieces; }, {1024, 3072});
      EXPECT(pieces > 20 && pretend::counts().pinned_uploads == before.pinned_uploads + pieces);
      EXPECT(pretend::counts().downloads == before.downloads);
      for (std::size_t i = 0; i < made.size(); ++i) {
        EXPECT(made[i].storage().is_alias_of(made[0].storage()) && made[i].device() == device);
        EXPECT(made[i].to(at::kCPU).equal(tensors[i].tensor.to(stored).to(wanted)));
      }
      const auto version = made[0]._version();
      made[2].add_(1);
      EXPECT(made[0]._version() == version);
    }
  }
}

TEST("pretend device: weights that were read onto it train as the CPU's, and a file that is damaged is refused") {
  const pretend::OwnKernels kernels;
  api::Engine source(engine_on("cpu"));
  StepOptions options = step_options();
  source.step(batches_of(2), options, {}, running);
  const TemporaryFile encoder(".encoder"), optimizer(".optimizer");
  source.save(StateKind::kEncoder, encoder.path, {});
  const std::vector<io::NamedTensor> tensors = train::WorldModel(engine_on("cpu")).encoder_tensors();
  std::vector<TensorEntry> entries;
  std::uint64_t end = encoder.bytes().size();
  for (auto tensor = tensors.rbegin(); tensor != tensors.rend(); ++tensor) {
    const std::uint64_t bytes = tensor->tensor.nbytes();
    entries.push_back({tensor->name, encoder.path, Dtype::kFloat32, tensor->tensor.sizes().vec(), end - bytes, end});
    end -= bytes;
  }
  std::vector<StepResult> results;
  for (const char* const device : {"cpu", "cuda:1"}) {
    EngineOptions read = engine_on(device);
    read.encoder_from_files = true;
    api::Engine engine(read);
    engine.load(StateKind::kEncoder, entries, Placement::kOwned);
    for (options.step = 0; options.step < 3; ++options.step) {
      results.push_back(engine.step(batches_of(2 + 16 * options.step), options, {}, running));
      // Into what is there.
      if (options.step == 1) engine.load(StateKind::kEncoder, entries, Placement::kOwned);
    }
  }
  for (std::size_t i = 0; i < 3; ++i) expect_same(results[i + 3], results[i]);

  {
    std::fstream file(encoder.path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(entries[1].begin + 8));
    const std::uint32_t infinity = 0x7f800000u;
    file.write(reinterpret_cast<const char*>(&infinity), 4);
  }
  EngineOptions read = engine_on("cuda:0");
  read.encoder_from_files = true;
  api::Engine engine(read);
  EXPECT_THROWS(engine.load(StateKind::kEncoder, entries, Placement::kOwned),
                "tensor " + entries[1].name + " must hold finite numbers but holds inf at element 2");
}

}  // namespace
}  // namespace pretend_streams_test
