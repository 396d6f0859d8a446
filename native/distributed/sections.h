#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "distributed/group.h"

namespace ehrjepa::distributed {

/// Numbers that are on their way together, 16 MiB of float32: what an exchange takes beside what it exchanges.
inline constexpr std::int64_t kBucket = 1 << 22;

/// Tensors one after another as one vector, which is nowhere whole.
class FlatTensors {
 public:
  /// @param tensors  contiguous.
  explicit FlatTensors(const std::vector<at::Tensor>& tensors);

  std::int64_t numel() const { return numel_; }
  /// Of its tensors; the host's where there is none.
  at::Device device() const { return tensors_.empty() ? at::Device(at::kCPU) : tensors_.front().device(); }
  /// Copies the numbers from `begin` on, as many as `to` has, with conversion to its dtype.
  void read(std::int64_t begin, const at::Tensor& to) const;
  /// The other way.
  void write(std::int64_t begin, const at::Tensor& from) const;

 private:
  template <typename Visit>
  void visit(std::int64_t begin, std::int64_t length, const Visit& visit) const;

  std::vector<at::Tensor> tensors_;
  std::int64_t numel_ = 0;
};

/// Every rank gets the section of each, in pieces: a rank sends (W - 1) / W of all of them together, on the average
/// over ranks.
/// @param own       this rank's section.
/// @param sections  where those of all ranks go, this one's among them.
/// @param dtype     in which they travel.
void gather_sections(Group& group, const FlatTensors& own, const std::vector<FlatTensors>& sections,
                     at::ScalarType dtype, const std::atomic<bool>& cancelled);

}  // namespace ehrjepa::distributed
