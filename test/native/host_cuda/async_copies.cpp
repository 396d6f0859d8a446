// cp.async: what it brings is there for the thread that waited, and for the others after a barrier behind the wait.
#include <array>
#include <cstring>
#include <deque>
#include <vector>

#include "emulator.h"
#include "engine.h"
#include "tensor_core_intrinsics.h"

namespace host_cuda {
namespace {

struct Copy {
  void* shared;
  const void* global;
  int bytes;

  void deliver() const {
    std::memset(shared, 0, 16);
    std::memcpy(shared, global, static_cast<std::size_t>(bytes));
  }
};

struct Copies {
  std::vector<Copy> issued;  ///< not in a group yet
  std::deque<std::vector<Copy>> groups;
};

std::array<Copies, largest_block> copies;
Delivery when = Delivery::kLazy;

}  // namespace

void set_delivery(Delivery delivery) { when = delivery; }

void copy_async(void* shared, const void* global, int bytes) {
  if (reinterpret_cast<std::uintptr_t>(shared) % 16 != 0 ||
      (bytes != 0 && reinterpret_cast<std::uintptr_t>(global) % 16 != 0)) {
    fail("misaligned: an asynchronous copy of 16 bytes");
  }
  if (bytes > 0) touch(global, static_cast<std::size_t>(bytes), Access::kRead, nullptr);
  reserve(shared, 16);
  const Copy copy{shared, global, bytes};
  if (when == Delivery::kEager) copy.deliver();
  copies[now().thread].issued.push_back(copy);
}

void commit_copies() {
  Copies& mine = copies[now().thread];
  mine.groups.push_back(std::move(mine.issued));
  mine.issued.clear();
}

void wait_for_copies(int groups) {
  Copies& mine = copies[now().thread];
  while (mine.groups.size() > static_cast<std::size_t>(groups)) {
    for (const Copy& copy : mine.groups.front()) {
      if (when == Delivery::kLazy) copy.deliver();
      arrive(copy.shared, 16);
    }
    mine.groups.pop_front();
  }
}

void forget_copies() {
  for (Copies& of : copies) {
    of.issued.clear();
    of.groups.clear();
  }
}

}  // namespace host_cuda
