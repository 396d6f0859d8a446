#include <ATen/ATen.h>
#include <signal.h>
#include <sys/wait.h>
#include <torch/csrc/autograd/autograd.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>

#include "memory/device.h"
#include "memory/transfer.h"
#include "model/repeated_rows.h"
#include "native/check.h"
#include "native/pretend/counts.h"
#include "native/pretend/kernels.h"
#include "native/pretend/memory.h"
#include "ops/kernels_of.h"

// What the pretend devices are good for: that each kind of mistake is seen on them.
namespace pretend_device_test {
namespace {

at::Tensor on_device(const char* name, const at::Tensor& host) {
  return ehrjepa::memory::upload(host, ehrjepa::memory::device_named(name));
}

/// The signal that ends a process which runs `mistake`; 0 when it ends by itself.
template <typename Mistake>
int signal_of(const Mistake& mistake) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    mistake();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST("pretend device: the host that reads or writes its memory crashes; an op does not") {
  const at::Tensor x = on_device("cuda:0", at::ones({4, 8}));
  const auto* const values = x.const_data_ptr<float>();
  EXPECT(signal_of([] {}) == 0);
  EXPECT(signal_of([&] { _exit(static_cast<int>(values[3])); }) == SIGSEGV);
  EXPECT(signal_of([&] { *static_cast<volatile float*>(x.data_ptr()) = 2; }) == SIGSEGV);
  EXPECT((x + x).sum().item<double>() == 64);
  EXPECT(signal_of([&] { _exit(static_cast<int>(values[3])); }) == SIGSEGV);  // closed again
}

TEST(
    "pretend device: a sum that comes in any order on a card is an error, one that is sorted or names each place once "
    "is not") {
  const at::Tensor sum = on_device("cuda:0", at::zeros({3, 2})), rows = on_device("cuda:0", at::ones({3, 2}));
  const auto index = [](const std::vector<std::int64_t>& values) {
    return on_device("cuda:0", ehrjepa::memory::host_vector(values));
  };
  const char* const message = "sums in any order on a card";
  EXPECT_THROWS(sum.index_add_(0, index({0, 2, 0}), rows), message);
  EXPECT_THROWS(sum.scatter_add_(0, index({0, 1, 0}).view({3, 1}).expand({3, 2}).contiguous(), rows), message);
  EXPECT_THROWS(sum.cumsum(0), message);
  EXPECT(index({1, 2}).cumsum(0).sum().item<std::int64_t>() == 4);  // of whole numbers any order will do
  EXPECT((sum == 0).all().item<bool>());
  sum.index_add_(0, index({0, 2, 1}), rows);
  sum.scatter_add_(1, index({0, 1, 0}).view({3, 1}), rows);
  sum.index_put_({index({0, 0, 1})}, rows, /*accumulate=*/true);
  EXPECT(sum.sum().item<double>() == 6 + 3 + 6);
  // The gradient of rows that are taken twice is such a sum.
  const at::Tensor x = sum.detach().requires_grad_();
  EXPECT_THROWS(torch::autograd::grad({x.index_select(0, index({1, 1})).sum()}, {x}), message);
  const at::Tensor taken = ehrjepa::model::repeated_rows(x, index({1, 1}));
  EXPECT((torch::autograd::grad({taken.sum()}, {x})[0].sum(1) == on_device("cuda:0", at::tensor({0.0F, 4.0F, 0.0F})))
             .all()
             .item<bool>());
}

TEST("a device: the host may be forbidden to wait, and allowed again") {
  const at::Tensor x = on_device("cuda:0", at::ones({3}));
  {
    ehrjepa::memory::NoWaiting no_waiting(true);
    EXPECT_THROWS(x.sum().item<float>(), "must not wait for the device here but does in");
    no_waiting.end();
    EXPECT(x.sum().item<float>() == 3);
  }
  {
    const ehrjepa::memory::NoWaiting not_wanted(false);
    EXPECT(x.sum().item<float>() == 3);
  }
  EXPECT(x.sum().item<float>() == 3);
}

TEST("pretend device: tensors of two devices, or of the host, do not meet") {
  const at::Tensor host = at::ones({3}), zero = on_device("cuda:0", host), one = on_device("cuda:1", host);
  EXPECT(one.device() == at::Device(at::kPrivateUse1, 1));
  EXPECT((one * 2).device() == one.device());
  EXPECT_THROWS(zero + host, "must be given tensors of the device but has one of the host, of shape [3]");
  EXPECT_THROWS(zero + one, "must be given tensors of one device but has");
  EXPECT_THROWS(zero.index_select(0, at::zeros({1}, at::kLong)), "one of the host");
  EXPECT_THROWS(one.copy_(zero), "a copy must stay on one device");
  EXPECT_THROWS(ehrjepa::memory::device_named("cuda:2"), "must be one of the 2 that are there but is cuda:2");
  EXPECT_THROWS(ehrjepa::memory::device_named("cuda"), "device must be cpu or cuda:N but is cuda");
  EXPECT_THROWS(ehrjepa::memory::device_named("cuda:1x"), "device must be cpu or cuda:N but is cuda:1x");
}

TEST("pretend device: uploads are counted, and every way in which the host waits") {
  const at::Tensor host = at::arange(6.0);
  const pretend::Counts before = pretend::counts();
  const at::Tensor x = on_device("cuda:0", host);
  const at::Tensor y = x * 2 * 3;
  EXPECT(pretend::counts().uploads == before.uploads + 1);
  EXPECT(pretend::counts().waits == before.waits);
  EXPECT(y[5].item<double>() == 30);
  EXPECT(pretend::counts().waits == before.waits + 1);
  EXPECT(y.to(at::kCPU).equal(host * 6));
  EXPECT(pretend::counts().waits == before.waits + 2);
  const std::vector<at::Tensor> read = ehrjepa::memory::read_back({y[1], at::Tensor(), y, x.to(at::kLong).sum()});
  EXPECT(pretend::counts().waits == before.waits + 3);
  EXPECT(read[0].item<double>() == 6 && !read[1].defined() && read[2].sizes() == y.sizes());
  EXPECT(read[3].item<double>() == 15);
  const pretend::NoWaiting no_waiting;
  (void)(x + 1);
  EXPECT_THROWS(x.sum().item<double>(),
                "the host must not wait for the device here but does in a number that it reads");
  EXPECT_THROWS(x.to(at::kCPU), "does in a copy to the host");
  EXPECT_THROWS(x.nonzero(), "does in aten::nonzero");
  EXPECT_THROWS(at::linalg_eigvalsh(x.outer(x)), "does in aten::_linalg_eigh");
}

TEST("pretend device: views are views, factories and autograd work, and all memory is given back") {
  const std::size_t held = pretend::held_bytes();
  {
    const at::Tensor x = on_device("cuda:1", at::zeros({3, 4}));
    x.narrow(0, 1, 1).fill_(2);
    x.t().select(0, 3).add_(1);
    x.view({-1}).narrow(0, 0, 2).copy_(at::ones({2}, x.options()));
    EXPECT(x.to(at::kCPU).equal(
        at::tensor({1.0F, 1.0F, 0.0F, 1.0F, 2.0F, 2.0F, 2.0F, 3.0F, 0.0F, 0.0F, 0.0F, 1.0F}).view({3, 4})));
    EXPECT(at::arange(5, x.options()).to(at::kCPU).equal(at::arange(5, at::kFloat)));
    EXPECT(at::eye(3, x.options()).to(at::kCPU).equal(at::eye(3)));
    const at::Tensor leaf = x.clone().requires_grad_(true);
    (leaf.square().sum() * 0.5).backward();
    EXPECT(leaf.grad().device() == x.device() && leaf.grad().to(at::kCPU).equal(x.to(at::kCPU)));
    EXPECT(pretend::held_bytes() > held);
  }
  EXPECT(pretend::held_bytes() == held);
}

TEST(
    "pretend device: each of our ops is computed by its kernels where there are some, and by its reference where not") {
  const at::Tensor x = on_device("cuda:1", at::ones({2}));
  const auto each = [&](const auto& check) {
    for (const char* const name : pretend::own_functions) {
      const c10::OperatorHandle function = ehrjepa::ops::function_named((std::string("ehrjepa::") + name).c_str());
      check(function, ehrjepa::ops::by_reference(function, x),
            function.hasKernelForDispatchKey(c10::DispatchKey::PrivateUse1));
    }
  };
  // As on a card with EHR_JEPA_CUDA_KERNELS=0. A function without autograd has its reference in the dispatcher.
  each([](const c10::OperatorHandle& function, bool by_reference, bool by_kernels) {
    EXPECT(!by_kernels);
    EXPECT(by_reference || function.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd));
  });
  const pretend::OwnKernels kernels;
  each([](const c10::OperatorHandle&, bool by_reference, bool by_kernels) { EXPECT(!by_reference && by_kernels); });
}

TEST("pretend device: its kernels of our ops are those that the CPU has") {
  std::set<std::string> registered, listed(pretend::own_functions.begin(), pretend::own_functions.end());
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.getNamespace() != "ehrjepa") continue;
    const auto op = c10::Dispatcher::singleton().findSchema(name);
    if (op && op->hasKernelForDispatchKey(c10::DispatchKey::CPU)) registered.insert(name.name.substr(9));
  }
  EXPECT(registered == listed);
}

}  // namespace
}  // namespace pretend_device_test
