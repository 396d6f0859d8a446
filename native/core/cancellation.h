#pragma once
#include <atomic>

#include "core/error.h"

namespace ehrjepa {

/// A flag that another thread raises to stop a running call. Long code calls `check` at points where stopping is safe.
class CancellationToken {
 public:
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }
  /// @throws Cancelled once `cancel` was called.
  void check() const {
    if (cancelled()) throw Cancelled();
  }

 private:
  std::atomic<bool> cancelled_{false};
};

}  // namespace ehrjepa
