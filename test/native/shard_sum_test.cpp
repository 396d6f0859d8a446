#include "distributed/shard_sum.h"

#include <ATen/ATen.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "distributed/flat_rounding.h"
#include "distributed/group.h"
#include "distributed/ownership.h"
#include "native/check.h"

namespace shard_sum_test {
namespace {

using namespace ehrjepa;
using distributed::shards_of;
using distributed::ShardSum;

const std::atomic<bool> running{false};

/// The sum as its contract states it: each node is the sum of its halves, the left one a power of two.
at::Tensor tree_sum(const std::vector<at::Tensor>& shards, std::size_t first, std::size_t count) {
  if (count == 1) return shards[first];
  std::size_t half = 1;
  while (2 * half < count) half *= 2;
  return tree_sum(shards, first, half) + tree_sum(shards, first + half, count - half);
}

std::vector<at::Tensor> random_shards(std::int64_t count, std::int64_t elements) {
  at::manual_seed(static_cast<std::uint64_t>(count));
  std::vector<at::Tensor> shards;
  for (std::int64_t i = 0; i < count; ++i) shards.push_back(at::randn({elements}) * (1.0 + static_cast<double>(i)));
  return shards;
}

std::int64_t free_port() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  EXPECT(bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0);
  EXPECT(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  close(listener);
  return ntohs(address.sin_port);
}

GroupOptions options_of(std::int64_t rank, std::int64_t ranks, std::int64_t port) {
  return {.rank = rank,
          .world_size = ranks,
          .address = "127.0.0.1",
          .port = port,
          .serves_store = rank == 0,
          .prefix = "test",
          .rendezvous_timeout = 30.0,
          .collective_timeout = 30.0,
          .silence_timeout = 30.0};
}

/// Runs the ranks of a group, each on a thread. @return what each threw.
template <typename Act>
std::vector<std::string> on_ranks(std::int64_t ranks, const Act& act) {
  const std::int64_t port = free_port();
  std::vector<std::string> errors(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      errors[static_cast<std::size_t>(rank)] = check::message_thrown([&] {
        distributed::Group group(options_of(rank, ranks, port), running);
        act(group);
        group.leave();
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

}  // namespace

TEST("shards are dealt to ranks in order, each to one") {
  for (std::int64_t shards = 1; shards < 12; ++shards) {
    for (std::int64_t ranks = 1; ranks <= shards; ++ranks) {
      std::int64_t next = 0;
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        const ShardRange own = shards_of(rank, ranks, shards);
        EXPECT(own.first == next && own.count >= shards / ranks && own.total == shards);
        next += own.count;
      }
      EXPECT(next == shards);
    }
  }
}

TEST("the sum over shards is a tree that the number of shards decides") {
  for (std::int64_t count = 1; count < 12; ++count) {
    const std::vector<at::Tensor> shards = random_shards(count, 33);
    ShardSum sum({0, count, count});
    for (const at::Tensor& shard : shards) sum.add(shard.clone());
    EXPECT(at::equal(sum.total(nullptr, running), tree_sum(shards, 0, shards.size())));
  }
  ShardSum sum({0, 2, 2});
  sum.add(at::zeros({3}));
  EXPECT_THROWS(sum.total(nullptr, running), "must add all its shards (2) but added 1");
}

TEST("any number of ranks gets the same bits of the sum") {
  // More numbers than go together, and not a multiple of the ranks.
  const std::int64_t elements = (1 << 22) + 7;
  const std::vector<at::Tensor> shards = random_shards(5, elements);
  const at::Tensor expected = tree_sum(shards, 0, shards.size());
  for (const std::int64_t ranks : {2, 3}) {
    std::atomic<int> equal{0};
    const auto errors = on_ranks(ranks, [&](distributed::Group& group) {
      const ShardRange own = shards_of(group.rank(), group.size(), 5);
      ShardSum sum(own);
      for (std::int64_t i = 0; i < own.count; ++i) sum.add(shards[static_cast<std::size_t>(own.first + i)].clone());
      if (at::equal(sum.total(&group, running), expected)) ++equal;
    });
    for (const std::string& error : errors) EXPECT(error.empty());
    EXPECT(equal == ranks);
  }
}

TEST("a rank gets its part of the sum alone, however long the parts are") {
  const std::int64_t elements = (1 << 22) + 7;
  const std::vector<at::Tensor> shards = random_shards(5, elements);
  const at::Tensor expected = tree_sum(shards, 0, shards.size());
  // Nothing for one, and almost everything for another.
  const std::vector<std::int64_t> lengths{0, elements - 100, 100};
  std::atomic<int> equal{0};
  const auto errors = on_ranks(3, [&](distributed::Group& group) {
    const ShardRange own = shards_of(group.rank(), group.size(), 5);
    ShardSum sum(own);
    for (std::int64_t i = 0; i < own.count; ++i) sum.add(shards[static_cast<std::size_t>(own.first + i)].clone());
    const auto rank = static_cast<std::size_t>(group.rank());
    const std::int64_t start = rank == 2 ? elements - 100 : 0;
    if (at::equal(sum.section(group, lengths, running), expected.narrow(0, start, lengths[rank]))) ++equal;
  });
  for (const std::string& error : errors) EXPECT(error.empty());
  EXPECT(equal == 3);
}

TEST("parameters are dealt whole, and no rank has more than an equal part and the largest") {
  const std::vector<std::int64_t> sizes{3, 1000, 64, 64, 64, 7, 500, 64, 1};
  for (std::int64_t ranks = 1; ranks < 12; ++ranks) {
    std::vector<int> dealt(sizes.size());
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const distributed::Ownership ownership(sizes, rank, ranks);
      std::int64_t load = 0;
      for (const std::size_t parameter : ownership.of(rank)) {
        EXPECT(ownership.is_own(parameter) && ownership.owner(parameter) == rank);
        load += sizes[parameter];
        ++dealt[parameter];
      }
      EXPECT(load == ownership.loads()[static_cast<std::size_t>(rank)]);
      EXPECT(load <= 1767 / ranks + 1000);
    }
    for (const int times : dealt) EXPECT(times == 1);
  }
}

TEST("ranks gather rows and texts of any length") {
  std::atomic<int> right{0};
  const auto errors = on_ranks(3, [&](distributed::Group& group) {
    const at::Tensor rows = group.gather_rows(at::full({group.rank(), 2}, static_cast<double>(group.rank())), running);
    const auto texts = group.gather_texts(std::string(static_cast<std::size_t>(group.rank()) * 3, 'x'), running);
    const bool whole = at::equal(rows, at::tensor({1.0F, 1.0F, 2.0F, 2.0F, 2.0F, 2.0F}).view({3, 2}));
    if (whole && texts == std::vector<std::string>{"", "xxx", "xxxxxx"}) ++right;
  });
  for (const std::string& error : errors) EXPECT(error.empty());
  EXPECT(right == 3);
}

TEST("a rank that fails ends the waits of the others with its own words") {
  const auto errors = on_ranks(2, [&](distributed::Group& group) {
    if (group.rank() == 1) {
      group.fail("failed: the disk is full");
      return;
    }
    (void)group.gather(at::zeros({1}), running);
  });
  EXPECT(errors[0].find("rank 1 (process ") != std::string::npos);
  EXPECT(errors[0].find("failed: the disk is full") != std::string::npos);
}

TEST("gradients are rounded to bfloat16 without bias, by draws that do not depend on how they are cut or laid out") {
  using distributed::FlatRounding;
  constexpr std::int64_t count = 200'000;
  const FlatRounding rounding(3, 5, {7, 2}, {count, 11});
  const auto rounded = [&](const at::Tensor& values, std::int64_t begin, std::int64_t shard) {
    const at::Tensor result = values.clone();
    rounding.round_(result, begin, shard);
    return result;
  };
  const at::Tensor values = at::full({count + 11}, 1.003F);
  const at::Tensor whole = rounded(values, 0, 1);
  EXPECT(at::equal(whole.to(at::kBFloat16).to(at::kFloat), whole));
  // Between 1 and 1.0078125: the deviation of the mean is 1e-5, and rounding to the nearest would be off by 3e-3.
  EXPECT_CLOSE(whole.to(at::kDouble).mean().item<double>(), 1.003, 6e-5);
  EXPECT_CLOSE(rounded(-values, 0, 1).to(at::kDouble).mean().item<double>(), -1.003, 6e-5);
  for (const std::int64_t at : {std::int64_t{1}, std::int64_t{4099}, count - 1, count + 3}) {
    EXPECT(at::equal(rounded(values.narrow(0, at, 8), at, 1), whole.narrow(0, at, 8)));
  }
  EXPECT(!at::equal(rounded(values, 0, 2), whole));
  EXPECT(!at::equal(rounded(values, 0, FlatRounding::kAll), whole));
  const at::Tensor other = values.clone();
  FlatRounding(3, 5, {2, 7}, {11, count}).round_(other, 0, 1);
  EXPECT(at::equal(other.narrow(0, 11, count), whole.narrow(0, 0, count)));
  const at::Tensor odd = at::tensor({std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                                     std::numeric_limits<float>::quiet_NaN(), 0.0F});
  const at::Tensor kept = rounded(odd, 0, 0);
  EXPECT(at::equal(kept.narrow(0, 0, 2), odd.narrow(0, 0, 2)));
  EXPECT(kept[2].isnan().item<bool>());
  EXPECT(kept[3].item<float>() == 0.0F);
}

}  // namespace shard_sum_test
