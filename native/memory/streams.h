#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>

#include <memory>
#include <optional>

// A device works through queues of its own, its streams. What is on one queue is done in order; between two of them
// there is an order only where one waits for a mark of the other.
namespace ehrjepa::memory {

/// A place in a queue of a device; none on the host, for which nobody waits.
class Mark {
 public:
  Mark() = default;
  /// As far as a queue has been filled.
  explicit Mark(const c10::Stream& stream);

  /// What the thread's queue of that device is given from now on waits for it. The host does not.
  void wait() const;
  /// The host waits for it. Of any thread.
  void wait_on_host() const;

 private:
  std::shared_ptr<c10::Event> event_;
};

/// A second queue of a device, beside the one that a thread computes on. The host has none: what it is given is done at
/// once.
class SideStream {
 public:
  explicit SideStream(at::Device device);

  /// False on the host.
  bool exists() const { return stream_.has_value(); }
  /// What `work` gives to the device goes to this queue. Memory that it takes belongs to this queue.
  template <typename Work>
  auto run(const Work& work) {
    const c10::OptionalStreamGuard guard(stream_);
    return work();
  }
  /// What this queue is given from now on waits for what the thread's own has been given.
  void follow();
  Mark mark() const;
  /// Memory of a tensor of this queue is used by the thread's own too, and must not be used again before that is done.
  void lend(const at::Tensor& tensor) const;

 private:
  c10::Stream current() const;
  std::optional<c10::Stream> stream_;
};

/// Work on a side stream beside that of the thread's own: it begins after what that has been given before, and what
/// that is given after the end waits for it, so that either may read what the other has made.
class Beside {
 public:
  explicit Beside(SideStream& stream);
  /// Ends it if nobody has: memory that both use must not be let go of before.
  ~Beside();
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;

  template <typename Work>
  auto run(const Work& work) {
    return stream_.run(work);
  }
  void end();

 private:
  SideStream& stream_;
  bool ended_ = false;
};

}  // namespace ehrjepa::memory
