#include "io/device_reader.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <array>
#include <utility>

#include "memory/streams.h"
#include "memory/transfer.h"

namespace ehrjepa::io {
namespace {

/// Where tensors begin: what kernels load at once is aligned.
constexpr std::int64_t alignment = 256;

std::int64_t aligned(std::int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

/// A part of a tensor, and its place in the pinned memory of a round.
struct Piece {
  std::size_t read;
  std::int64_t first, count;  ///< numbers
  std::int64_t place;         ///< byte
};

std::vector<std::vector<Piece>> rounds_of(const std::vector<DeviceRead>& reads, const ReadSizes& sizes) {
  std::vector<std::vector<Piece>> rounds(1);
  std::int64_t place = 0;
  for (std::size_t i = 0; i < reads.size(); ++i) {
    const auto width = static_cast<std::int64_t>(c10::elementSize(reads[i].dtype));
    const std::int64_t most = sizes.piece / width, all = reads[i].destination.numel();
    for (std::int64_t first = 0; first < all; first += most) {
      const std::int64_t count = std::min(most, all - first);
      if (place + count * width > sizes.round) {
        rounds.emplace_back();
        place = 0;
      }
      rounds.back().push_back({i, first, count, place});
      place += aligned(count * width);
    }
  }
  return rounds;
}

}  // namespace

void read_to_device(const std::vector<DeviceRead>& reads, at::Device device,
                    const std::function<void(std::size_t, std::int64_t, const at::Tensor&)>& check,
                    const ReadSizes& sizes) {
  const at::NoGradGuard no_grad;
  std::int64_t all_bytes = 0;
  for (const DeviceRead& read : reads) {
    all_bytes += aligned(read.destination.numel() * static_cast<std::int64_t>(c10::elementSize(read.dtype)));
  }
  if (all_bytes == 0) return;
  memory::SideStream uploads(device);
  memory::Beside beside(uploads);
  std::array<at::Tensor, 2> pinned;
  std::array<memory::Mark, 2> is_up;
  for (at::Tensor& half : pinned) {
    half = at::empty({std::min(sizes.round, all_bytes)}, memory::on_host(at::kByte).pinned_memory(true));
  }
  std::size_t number = 0;
  for (const std::vector<Piece>& round : rounds_of(reads, sizes)) {
    const std::size_t half = number++ % 2;
    is_up[half].wait_on_host();
    const auto numbers_of = [&](const Piece& piece) {
      const at::ScalarType dtype = reads[piece.read].dtype;
      const std::int64_t bytes = piece.count * static_cast<std::int64_t>(c10::elementSize(dtype));
      return pinned[half].narrow(0, piece.place, bytes).view(dtype);
    };
    at::parallel_for(0, static_cast<std::int64_t>(round.size()), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Piece& piece = round[static_cast<std::size_t>(i)];
        const DeviceRead& read = reads[piece.read];
        const at::Tensor numbers = numbers_of(piece);
        const auto offset = static_cast<std::uint64_t>(piece.first) * c10::elementSize(read.dtype);
        read.file->read_at(numbers.data_ptr(), numbers.nbytes(), read.begin + offset);
        check(piece.read, piece.first, numbers);
      }
    });
    beside.run([&] {
      for (const Piece& piece : round) {
        const at::Tensor destination =
            reads[piece.read].destination.detach().view({-1}).narrow(0, piece.first, piece.count);
        if (destination.scalar_type() == reads[piece.read].dtype) {
          destination.copy_(numbers_of(piece), /*non_blocking=*/true);
        } else {
          destination.copy_(numbers_of(piece).to(device, /*non_blocking=*/true));
        }
      }
    });
    is_up[half] = uploads.mark();
  }
}

std::vector<at::Tensor> tensors_in_one_buffer(const std::vector<std::vector<std::int64_t>>& shapes,
                                              at::ScalarType dtype, at::Device device) {
  const auto width = static_cast<std::int64_t>(c10::elementSize(dtype));
  std::vector<std::int64_t> places;
  std::int64_t bytes = 0;
  for (const std::vector<std::int64_t>& shape : shapes) {
    places.push_back(bytes / width);
    bytes += aligned(c10::multiply_integers(shape) * width);
  }
  const at::Tensor buffer = at::empty({bytes / width}, at::TensorOptions().dtype(dtype).device(device));
  std::vector<at::Tensor> result;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    // Not a view: in-place changes of one would count for all, and the backward pass refuse what another has changed.
    at::Tensor tensor =
        at::detail::make_tensor<c10::TensorImpl>(c10::Storage(buffer.storage()), buffer.key_set(), buffer.dtype());
    tensor.unsafeGetTensorImpl()->set_sizes_contiguous(shapes[i]);
    tensor.unsafeGetTensorImpl()->set_storage_offset(places[i]);
    result.push_back(std::move(tensor));
  }
  return result;
}

}  // namespace ehrjepa::io
