#include "train/gathered_weights.h"

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>
#include <c10/core/StorageImpl.h>

#include <algorithm>

namespace ehrjepa::train {
namespace {

// Kernels round alike wherever a weight lies: each begins where an allocation of its own could.
constexpr std::int64_t kAlignment = 64;

// The tensors of a unit stay, and their gradients with them, while their memory goes and comes.
void give_memory(const at::Tensor& flat) {
  const c10::DeviceGuard on_its_device(flat.device());
  c10::StorageImpl* const storage = flat.storage().unsafeGetStorageImpl();
  const auto bytes = static_cast<std::size_t>(flat.numel()) * flat.element_size();
  storage->set_data_ptr_noswap(storage->allocator()->allocate(bytes));
  storage->set_nbytes(bytes);
}
void take_memory(const at::Tensor& flat) {
  c10::StorageImpl* const storage = flat.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(at::DataPtr(nullptr, flat.device()));
  storage->set_nbytes(0);
}

}  // namespace

GatheredWeights::GatheredWeights(const model::Qwen3Weights& kept, const Qwen3Config& config, const Owner& owner,
                                 at::Device device, at::ScalarType dtype, bool learns, distributed::Group& group,
                                 const std::atomic<bool>& cancelled)
    : group_(group),
      cancelled_(cancelled),
      device_(device),
      dtype_(dtype),
      learns_(learns),
      units_(kept.layers.size() + 1) {
  const at::NoGradGuard no_grad;
  const std::vector<std::optional<std::size_t>> blocks = kept.blocks(config);
  for (const model::NamedTensor& weight : kept.trainable(config)) {
    const std::size_t number = kept_.size();
    kept_.push_back(weight.tensor.detach());
    if (const auto rank = owner(weight.name)) {
      units_[blocks[number].value_or(units_.size() - 1)].parts.push_back({number, *rank, 0});
    }
  }
  leaves_.resize(kept_.size());
  for (Unit& unit : units_) lay_out(unit);
  std::vector<at::Tensor> tensors;
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    tensors.push_back(leaves_[i].defined() ? leaves_[i] : kept_[i].to(dtype));
  }
  // Under LoRA every rank has the base.
  weights_ = (kept.adapters.empty() ? kept : model::cast_weights(kept, dtype)).with(config, tensors);
}

void GatheredWeights::lay_out(Unit& unit) {
  std::ranges::stable_sort(unit.parts, {}, &Part::owner);
  const std::int64_t step = kAlignment / static_cast<std::int64_t>(c10::elementSize(dtype_));
  std::int64_t numbers = 0;
  for (Part& part : unit.parts) {
    part.begin = numbers;
    numbers += (kept_[part.weight].numel() + step - 1) / step * step;
  }
  if (unit.parts.empty()) return;
  const auto options = at::TensorOptions(device_).dtype(dtype_);
  unit.flat = at::empty({numbers}, options);
  for (const Part& part : unit.parts) {
    const at::Tensor& kept = kept_[part.weight];
    // Not a view: what is written into the memory later changes nothing that a backward pass has to hear of.
    at::Tensor leaf = at::empty({0}, unit.flat.options());
    leaf.set_(unit.flat.storage(), part.begin, kept.sizes(), kept.strides());
    leaves_[part.weight] = leaf.requires_grad_(learns_);
  }
  take_memory(unit.flat);
}

void GatheredWeights::start(Unit& unit) {
  if (unit.parts.empty() || unit.is_here || !unit.under_way.empty()) return;
  const at::NoGradGuard no_grad;
  give_memory(unit.flat);
  for (std::size_t i = 0; i < unit.parts.size();) {
    const std::int64_t owner = unit.parts[i].owner, begin = unit.parts[i].begin;
    for (; i < unit.parts.size() && unit.parts[i].owner == owner; ++i) {
      const at::Tensor& kept = kept_[unit.parts[i].weight];
      if (owner == group_.rank()) unit.flat.narrow(0, unit.parts[i].begin, kept.numel()).copy_(kept.view({-1}));
    }
    const std::int64_t end = i == unit.parts.size() ? unit.flat.numel() : unit.parts[i].begin;
    unit.under_way.push_back(group_.start_spread(unit.flat.narrow(0, begin, end - begin), owner));
  }
}

void GatheredWeights::arrive(Unit& unit) {
  start(unit);
  for (const auto& spread : unit.under_way) group_.finish(spread, cancelled_);
  unit.under_way.clear();
  unit.is_here = true;
}

void GatheredWeights::free(Unit& unit) {
  if (!unit.is_here) return;
  if (unit.flat.defined()) take_memory(unit.flat);
  unit.is_here = false;
}

void GatheredWeights::begin_forward() {
  arrive(outside());
  start(units_.front());
}

void GatheredWeights::before(std::size_t block) {
  arrive(units_[block]);
  if (block + 1 < blocks()) start(units_[block + 1]);
}

void GatheredWeights::after(std::size_t block) {
  // The backward pass begins with the last block.
  if (block + 1 < blocks() || !learns_) free(units_[block]);
}

void GatheredWeights::begin_backward() {
  next_ = blocks();
  // After another backward pass of the same forward pass it is no longer here.
  arrive(outside());
}

void GatheredWeights::before_backward(std::size_t block) {
  while (next_ > block) {
    --next_;
    arrive(units_[next_]);
    if (next_ > 0) start(units_[next_ - 1]);
    if (next_ + 1 == blocks()) {
      free(outside());
    } else {
      finish_block(next_ + 1);
    }
  }
}

void GatheredWeights::end_backward() {
  before_backward(0);
  finish_block(0);
}

void GatheredWeights::finish_block(std::size_t block) {
  free(units_[block]);
  if (done_) done_(block);
}

void GatheredWeights::follow_forward() {
  begin_forward();
  for (std::size_t block = 0; block < blocks(); ++block) {
    before(block);
    after(block);
  }
  if (!learns_) end_forward();
}

}  // namespace ehrjepa::train
