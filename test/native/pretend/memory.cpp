#include "native/pretend/memory.h"

#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <mutex>

namespace pretend {
namespace {

struct Block {
  std::size_t size;
  int openings;
  c10::DeviceIndex device;
  Uses uses;
};

struct Blocks {
  std::mutex mutex;
  std::map<const char*, Block> by_address;
  std::array<Held, device_count> held = {};
  std::optional<std::size_t> limit;
};
/// Never destroyed: tensors may be freed after static destructors.
Blocks& blocks() {
  static Blocks* const instance = new Blocks;
  return *instance;
}

thread_local c10::DeviceIndex current = 0;

std::size_t whole_pages(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

std::optional<std::size_t> limit_of(const Blocks& all) {
  if (all.limit) return all.limit;
  const char* const bytes = std::getenv("EHR_JEPA_PRETEND_MEMORY");
  return bytes == nullptr ? std::nullopt : std::optional<std::size_t>(std::strtoull(bytes, nullptr, 10));
}

std::map<const char*, Block>::iterator block_of(Blocks& all, const void* data) {
  const auto behind = all.by_address.upper_bound(static_cast<const char*>(data));
  TORCH_CHECK(behind != all.by_address.begin(), "[pretend] memory of no device");
  return std::prev(behind);
}

void give_back(void* data) {
  if (data == nullptr) return;
  Blocks& all = blocks();
  const std::lock_guard lock(all.mutex);
  const auto found = all.by_address.find(static_cast<char*>(data));
  let_go(found->second.uses);
  munmap(data, found->second.size);
  all.held[static_cast<std::size_t>(found->second.device)].now -= found->second.size;
  all.by_address.erase(found);
}

class Allocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    const c10::Device device(c10::DeviceType::PrivateUse1, current);
    if (bytes == 0) return {nullptr, nullptr, &give_back, device};
    const std::size_t size = whole_pages(bytes);
    Blocks& all = blocks();
    const std::lock_guard lock(all.mutex);
    Held& held = all.held.at(static_cast<std::size_t>(current));
    const std::optional<std::size_t> limit = limit_of(all);
    TORCH_CHECK_WITH(OutOfMemoryError, !limit || held.now + size <= *limit, "[pretend] out of memory: ", bytes,
                     " bytes are wanted where ", held.now, " of ", limit.value_or(0), " are held");
    void* const data = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TORCH_CHECK_WITH(OutOfMemoryError, data != MAP_FAILED, "[pretend] out of memory: ", bytes, " bytes");
    all.by_address.emplace(static_cast<char*>(data), Block{size, 0, current, uses_of_new_block(current)});
    held.now += size;
    held.peak = std::max(held.peak, held.now);
    return {data, data, &give_back, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void*, const void*, std::size_t) const override {
    TORCH_CHECK(false, "[pretend] memory is copied by ops alone");
  }
};

}  // namespace

void lend(const void* data, const c10::Stream& stream) {
  if (data == nullptr) return;
  Blocks& all = blocks();
  const std::lock_guard lock(all.mutex);
  lend(block_of(all, data)->second.uses, stream);
}

c10::DeviceIndex current_device() { return current; }
void set_current_device(c10::DeviceIndex index) { current = index; }

c10::Allocator& allocator() {
  static Allocator* const instance = new Allocator;
  return *instance;
}

std::size_t held_bytes() {
  Blocks& all = blocks();
  const std::lock_guard lock(all.mutex);
  std::size_t sum = 0;
  for (const Held& held : all.held) sum += held.now;
  return sum;
}

Held held_on(c10::DeviceIndex device) {
  Blocks& all = blocks();
  const std::lock_guard lock(all.mutex);
  return all.held.at(static_cast<std::size_t>(device));
}

void forget_peak(c10::DeviceIndex device) {
  Blocks& all = blocks();
  const std::lock_guard lock(all.mutex);
  Held& held = all.held.at(static_cast<std::size_t>(device));
  held.peak = held.now;
}

void limit_memory(std::optional<std::size_t> bytes) {
  Blocks& all = blocks();
  const std::lock_guard lock(all.mutex);
  all.limit = bytes;
}

std::optional<std::size_t> memory_limit() {
  Blocks& all = blocks();
  const std::lock_guard lock(all.mutex);
  return limit_of(all);
}

Opened::~Opened() {
  Blocks& all = blocks();
  const std::lock_guard lock(all.mutex);
  for (const void* const address : blocks_) {
    Block& block = all.by_address.at(static_cast<const char*>(address));
    if (--block.openings == 0) mprotect(const_cast<void*>(address), block.size, PROT_NONE);
  }
}

const Work& Opened::work(c10::DeviceIndex device) {
  if (!work_) work_ = next_work(device);
  return *work_;
}

void Opened::open(const void* data, c10::DeviceIndex device, Access access) {
  const Work& own = work(device);
  Blocks& all = blocks();
  const std::lock_guard lock(all.mutex);
  const auto found = block_of(all, data);
  use(found->second.uses, own, access, what_);
  if (found->second.openings++ == 0) {
    mprotect(const_cast<char*>(found->first), found->second.size, PROT_READ | PROT_WRITE);
  }
  blocks_.push_back(found->first);
}

at::Tensor Opened::host_view(const at::Tensor& tensor, Access access) {
  const auto options = at::TensorOptions().dtype(tensor.scalar_type()).device(at::kCPU);
  const void* const data = tensor.unsafeGetTensorImpl()->storage().data();
  if (data == nullptr || tensor.numel() == 0) return at::empty_strided(tensor.sizes(), tensor.strides(), options);
  open(data, tensor.device().index(), access);
  char* const first = static_cast<char*>(const_cast<void*>(data)) + tensor.storage_offset() * tensor.itemsize();
  return at::from_blob(first, tensor.sizes(), tensor.strides(), options);
}

}  // namespace pretend
