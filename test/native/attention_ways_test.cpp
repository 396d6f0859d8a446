#include <ATen/ATen.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "cases/attention.h"
#include "memory/device.h"
#include "memory/transfer.h"
#include "native/against_reference.h"
#include "native/check.h"
#include "native/gradcheck.h"
#include "native/pretend/counts.h"
#include "native/pretend/kernels.h"
#include "ops/attention/merge.h"
#include "ops/attention/merged.h"
#include "ops/attention/ways.h"

namespace attention_ways_test {
namespace {

using namespace ehrjepa;
using namespace ehrjepa::ops;
using Inputs = std::vector<at::Tensor>;
using Way = AttentionChoice;

constexpr double scale = 0.3;

Inputs inputs_of(const AttentionCase& c, at::ScalarType dtype) {
  at::manual_seed(6);
  const auto random = [&](std::int64_t heads) {
    return at::randn({c.layout.rows(), heads, c.head_dim}, at::kDouble).to(dtype);
  };
  return {random(c.query_heads), random(c.key_value_heads), random(c.key_value_heads)};
}
at::Tensor merged(const Inputs& in, const AttentionCase& c) {
  return attention_merged(in[0], in[1], in[2], c.layout, scale, reference_ranges);
}
at::Tensor reference(const Inputs& in, const AttentionCase& c) {
  return attention_reference(in[0], in[1], in[2], c.layout, scale);
}
std::vector<AttentionCase> mergeable() {
  std::vector<AttentionCase> cases;
  for (const AttentionCase& c : attention_cases) {
    if (!c.rows && c.layout.rows() > 0 && c.layout.rows() < 200) cases.push_back(c);
  }
  // Three branches of one trunk whose contexts overlap, one of them the whole trunk, none the trunk's first row.
  cases.push_back(
      {"overlapping contexts", 4, 2, 2, {{0, 12, 20}, {{1, 9, 20, 23}, {1, 12, 23, 28}, {12, 20, 28, 29}}}});
  cases.push_back(
      {"overlapping, isolated", 6, 2, 2, {{0, 12, 20}, {{1, 9, 20, 23}, {1, 1, 23, 28}, {0, 12, 28, 30}}, true}});
  return cases;
}

TEST("attention merged by log-sum-exp: the reference's results and gradients in float64 and float32") {
  for (const AttentionCase& c : mergeable()) {
    const auto ours = [&](const Inputs& in) { return merged(in, c); };
    const auto exact = [&](const Inputs& in) { return reference(in, c); };
    const Inputs in = inputs_of(c, at::kDouble);
    const at::Tensor upstream = at::randn_like(in[0]);
    const Inputs found = against_reference::results(ours, in, upstream);
    const Inputs expected = against_reference::results(exact, in, upstream);
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE((found[i] - expected[i]).abs().max().item<double>(), 1e-12);
    }
    against_reference::expect_as_exact(ours, exact, inputs_of(c, at::kFloat), upstream.to(at::kFloat), c.name);
    against_reference::expect_as_exact(ours, exact, inputs_of(c, at::kBFloat16), upstream.to(at::kBFloat16), c.name);
  }
}

TEST("attention merged by log-sum-exp: gradients agree with central differences in float64") {
  for (const AttentionCase& c : mergeable()) {
    if (c.layout.branches.size() < 3) continue;
    EXPECT_LE(gradcheck([&](const Inputs& in) { return merged(in, c); }, inputs_of(c, at::kDouble)), 1e-6);
  }
}

TEST("attention merged by log-sum-exp: scores that are far apart stay finite") {
  const AttentionCase c = mergeable().back();
  Inputs in = inputs_of(c, at::kFloat);
  in[0] = in[0] * 1000.0;
  for (const at::Tensor& result :
       against_reference::results([&](const Inputs& x) { return merged(x, c); }, in, at::ones_like(in[0]))) {
    EXPECT(result.isfinite().all().item<bool>());
  }
}

TEST("attention_merge_: errors name argument, rule and value") {
  const at::Tensor out = at::zeros({5, 2, 8}), log_sum = at::zeros({2, 5}), rows = at::arange(3);
  const at::Tensor other = at::zeros({3, 2, 8}), other_log_sum = at::zeros({2, 3});
  attention_merge_(out, log_sum, rows, other, other_log_sum);
  EXPECT_THROWS(attention_merge_(out, log_sum.t(), rows, other, other_log_sum),
                "log_sum must have the shape [heads, rows] of out (2, 5) but has [5, 2]");
  EXPECT_THROWS(attention_merge_(out, log_sum, rows, other.narrow(0, 0, 2), other_log_sum),
                "must have the shapes [3, 2, 8] and [2, 3] but have [2, 2, 8] and [2, 3]");
  EXPECT_THROWS(attention_merge_(out, log_sum, rows, other.to(at::kBFloat16), other_log_sum),
                "must have the dtypes of out and log_sum (Float, Float) but have BFloat16 and Float");
}

TEST("ways of attention on a card: what is there, fits and is deterministic") {
  const auto ways = [](AttentionCall call) { return attention_ways_on_card(call); };
  const AttentionCall all{.dtype = at::kBFloat16, .head_dim = 128, .flash = true, .cudnn = true};
  using List = std::vector<Way>;
  EXPECT(ways(all) == (List{Way::kKernels, Way::kFlash}));
  AttentionCall any = all;
  any.deterministic = false;
  EXPECT(ways(any) == (List{Way::kKernels, Way::kFlash, Way::kCudnn, Way::kSdpa}));
  AttentionCall rows = any;
  rows.chosen_rows = true;
  EXPECT(ways(rows) == (List{Way::kKernels, Way::kSdpa}));
  AttentionCall wide = any;
  wide.dtype = at::kFloat;
  EXPECT(ways(wide) == (List{Way::kSdpa}));
  AttentionCall other_head = all;
  other_head.head_dim = 96;
  EXPECT(ways(other_head) == (List{Way::kSdpa}));
  AttentionCall without = all;
  without.kernels = without.flash = false;
  EXPECT(ways(without) == (List{Way::kSdpa}));
}

TEST("ways of attention: what the environment wants") {
  EXPECT(!wanted_attention(nullptr) && !wanted_attention(""));
  EXPECT(wanted_attention("flash") == Way::kFlash);
  EXPECT_THROWS(wanted_attention("flash2"), "EHR_JEPA_ATTENTION must be kernels, flash, cudnn or sdpa but is flash2");
}

TEST("ways of attention: whether the gradients must be in order reaches the library, and the backward pass of it") {
  static std::vector<bool> asked;
  asked.clear();
  constexpr RangeAttention recording{
      [](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Ranges& ranges, double softmax_scale) {
        asked.push_back(ranges.deterministic);
        return reference_ranges.forward(q, k, v, ranges, softmax_scale);
      },
      [](const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
         const at::Tensor& out, const at::Tensor& log_sum, const Ranges& ranges, double softmax_scale) {
        asked.push_back(ranges.deterministic);
        return reference_ranges.backward(grad_out, q, k, v, out, log_sum, ranges, softmax_scale);
      }};
  AttentionCase c = mergeable()[4];
  for (const bool deterministic : {true, false}) {
    c.layout.deterministic = deterministic;
    const Inputs in = inputs_of(c, at::kFloat);
    against_reference::results(
        [&](const Inputs& x) { return attention_merged(x[0], x[1], x[2], c.layout, scale, recording); }, in,
        at::ones_like(in[0]));
    EXPECT(asked.size() >= 2 && std::ranges::all_of(asked, [&](bool found) { return found == deterministic; }));
    asked.clear();
  }
}

/// A file of the test's own, gone with it.
struct WaysFile {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("ehr-jepa-ways-" + std::to_string(getpid()));
  std::string name = (folder / "cache" / "attention-ways.tsv").string();
  ~WaysFile() { std::filesystem::remove_all(folder); }
};

/// Times that were given, and how often each was asked for.
struct Clock {
  std::map<Way, double> seconds;
  std::map<Way, int> asked = {};
  double operator()(Way way) {
    ++asked[way];
    if (seconds.at(way) < 0) throw std::runtime_error(std::string("no ") + name_of(way));
    return seconds.at(way);
  }
};

TEST("the fastest way: measured once for each kind of call, and kept for the next run") {
  const WaysFile file;
  const std::vector<Way> ways = {Way::kKernels, Way::kFlash, Way::kCudnn};
  Clock clock{{{Way::kKernels, 3.0}, {Way::kFlash, 1.0}, {Way::kCudnn, 2.0}}};
  {
    FastestWay fastest(file.name);
    EXPECT(fastest.choose("a card, long", ways, std::ref(clock)) == Way::kFlash);
    clock.seconds[Way::kFlash] = 9.0;
    EXPECT(fastest.choose("a card, long", ways, std::ref(clock)) == Way::kFlash);
    EXPECT(fastest.choose("a card, short", ways, std::ref(clock)) == Way::kCudnn);
    for (const Way way : ways) EXPECT(clock.asked[way] == 2);
  }
  FastestWay next(file.name);
  EXPECT(next.choose("a card, long", ways, std::ref(clock)) == Way::kFlash);
  EXPECT(next.choose("a card, short", ways, std::ref(clock)) == Way::kCudnn);
  for (const Way way : ways) EXPECT(clock.asked[way] == 2);
  // What was kept is not admitted any more.
  EXPECT(next.choose("a card, short", {Way::kKernels, Way::kFlash}, std::ref(clock)) == Way::kKernels);
  EXPECT(next.choose("another", {Way::kSdpa}, std::ref(clock)) == Way::kSdpa);
  EXPECT(clock.asked[Way::kSdpa] == 0);  // nothing to compare with
}

TEST("the fastest way: lines that are none, ways that fail and a file that cannot be written do no harm") {
  const WaysFile file;
  std::filesystem::create_directories(std::filesystem::path(file.name).parent_path());
  std::ofstream(file.name) << "half a li\nkind\tbest\nkind two\tflash\n";
  const std::vector<Way> ways = {Way::kKernels, Way::kFlash};
  Clock clock{{{Way::kKernels, 3.0}, {Way::kFlash, -1.0}}};
  FastestWay fastest(file.name);
  EXPECT(fastest.choose("kind two", ways, std::ref(clock)) == Way::kFlash);
  EXPECT(fastest.choose("kind", ways, std::ref(clock)) == Way::kKernels);
  clock.seconds[Way::kKernels] = -1.0;
  EXPECT_THROWS(fastest.choose("third", ways, std::ref(clock)), "no kernels");
  clock.seconds[Way::kKernels] = 1.0;
  FastestWay nowhere("/proc/no/such/folder/ways.tsv");
  EXPECT(nowhere.choose("kind", ways, std::ref(clock)) == Way::kKernels);
  EXPECT(FastestWay("").choose("kind", ways, std::ref(clock)) == Way::kKernels);
}

/// The pretend devices are cards with FlashAttention and cuDNN, which are the reference there, until its end.
struct PretendLibraries {
  const pretend::OwnKernels kernels;
  PretendLibraries() { set(&reference_ranges); }
  ~PretendLibraries() { set(nullptr); }
  static void set(const RangeAttention* ranges) {
    set_attention_ranges(at::kPrivateUse1, Way::kFlash, ranges);
    set_attention_ranges(at::kPrivateUse1, Way::kCudnn, ranges);
  }
};

TEST("pretend device: attention takes the way that was the fastest there, or the one that is wanted") {
  const PretendLibraries libraries;
  const at::Device device = memory::device_named("cuda:1");
  const WaysFile file;
  FastestWay fastest(file.name);
  AttentionCase c = mergeable()[4];
  c.head_dim = 64;
  const Inputs host = inputs_of(c, at::kBFloat16);
  Inputs in;
  for (const at::Tensor& x : host) in.push_back(memory::upload(x, device));
  Clock clock{{{Way::kKernels, 2.0}, {Way::kFlash, 1.0}, {Way::kCudnn, 0.5}, {Way::kSdpa, 3.0}}};
  AttentionLayout any_order = c.layout;
  any_order.deterministic = false;
  const auto way = [&](std::optional<Way> wanted, const AttentionLayout& layout) {
    return attention_way(in[0], in[1], in[2], layout, scale, std::nullopt, wanted, {&fastest, std::ref(clock)});
  };
  EXPECT(way({}, c.layout) == Way::kFlash);  // cuDNN is the fastest, and not deterministic
  EXPECT(way({}, any_order) == Way::kCudnn);
  EXPECT(way({}, c.layout) == Way::kFlash);  // each is known by itself
  EXPECT(clock.asked[Way::kFlash] == 2 && clock.asked[Way::kCudnn] == 1);
  EXPECT(way(Way::kSdpa, c.layout) == Way::kSdpa);
  EXPECT(way(Way::kCudnn, c.layout) == Way::kCudnn);
  EXPECT(clock.asked[Way::kFlash] == 2 && clock.asked[Way::kCudnn] == 1);

  const at::Tensor upstream = at::randn_like(host[0]);
  const auto by_flash = [&](const Inputs& x) {
    return attention_by(Way::kFlash, x[0], x[1], x[2], c.layout, scale, {});
  };
  Inputs found;
  {
    const pretend::NoWaiting no_waiting;
    found = against_reference::results(by_flash, in, memory::upload(upstream, device));
  }
  const Inputs expected = against_reference::results([&](const Inputs& x) { return merged(x, c); }, host, upstream);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT(memory::host_copy(found[i]).equal(expected[i]));
}

TEST(
    "pretend device: without kernels of ours attention is SDPA's, whatever libraries there are, and nothing is timed") {
  PretendLibraries::set(&reference_ranges);
  FastestWay fastest("");
  const at::Device device = memory::device_named("cuda:0");
  const at::Tensor q = memory::upload(at::randn({40, 2, 64}).to(at::kBFloat16), device);
  Clock clock{{{Way::kFlash, 1.0}, {Way::kSdpa, 2.0}}};
  const auto way = [&](std::optional<Way> wanted, bool deterministic) {
    const AttentionLayout layout{{0, 40}, {}, false, deterministic};
    return attention_way(q, q, q, layout, scale, std::nullopt, wanted, {&fastest, std::ref(clock)});
  };
  EXPECT(way({}, true) == Way::kSdpa && way({}, false) == Way::kSdpa);
  EXPECT(way(Way::kFlash, true) == Way::kFlash);  // unless it is asked for
  EXPECT(clock.asked.empty());
  PretendLibraries::set(nullptr);
}

TEST("pretend device: a way is timed at its first call, for which the host waits, and never again") {
  const PretendLibraries libraries;
  FastestWay fastest("");
  const at::Device device = memory::device_named("cuda:0");
  const AttentionLayout layout{{0, 40}, {{0, 20, 40, 50}}, false};
  const auto place = [&](std::int64_t heads) {
    return memory::upload(at::randn({50, heads, 64}).to(at::kBFloat16), device).requires_grad_(true);
  };
  const at::Tensor q = place(2), k = place(1), v = place(1);
  const auto way = [&] { return attention_way(q, k, v, layout, scale, std::nullopt, {}, {&fastest, nullptr}); };
  const auto before = pretend::counts().waits;
  const Way first = way();
  EXPECT(first == Way::kKernels || first == Way::kFlash);
  EXPECT(pretend::counts().waits == before + 2 * 2 * 4);  // two ways, four calls each, before and after
  const pretend::NoWaiting no_waiting;
  EXPECT(way() == first);
  EXPECT(!q.grad().defined());
}

TEST("kinds of calls of attention: card, libtorch, dtype, heads, powers of two") {
  const at::Tensor q = at::zeros({1000, 16, 128}, at::kBFloat16), k = at::zeros({1000, 8, 128}, at::kBFloat16);
  const auto kind = [&](const AttentionLayout& layout) { return kind_of_call("H\t100", q, k, layout, false, true); };
  const std::string one = kind({{0, 700, 1000}, {}, false});
  EXPECT(one.find("H 100, torch 2.") == 0);
  EXPECT(one.find("BFloat16, heads 16/8 of 128, rows 1024, longest 1024, branches none, with gradient") !=
         std::string::npos);
  EXPECT(kind({{0, 600, 1000}, {}, false}) == one);
  EXPECT(kind({{0, 500, 1000}, {}, false}) != one);
  EXPECT(kind({{0, 700, 900}, {{0, 5, 900, 1000}}, true}).find("branches isolated") != std::string::npos);
}

}  // namespace
}  // namespace attention_ways_test
