#pragma once
#include <napi.h>

#include <memory>

#include "api/process_group.h"
#include "worker.h"

namespace ehrjepa::bindings {

/// `ProcessGroup` of lib/native.ts. Its calls run one after another on a thread of its own; the group is left when that
/// thread ends.
class ProcessGroupWrap : public Napi::ObjectWrap<ProcessGroupWrap> {
 public:
  static Napi::Function constructor(Napi::Env env);
  explicit ProcessGroupWrap(const Napi::CallbackInfo& info);

  /// @throws for another object, or before the ranks have met.
  static std::shared_ptr<api::ProcessGroup> of(const Napi::Value& value);

 private:
  Napi::Value join(const Napi::CallbackInfo& info);
  Napi::Value report(const Napi::CallbackInfo& info);
  Napi::Value exchange(const Napi::CallbackInfo& info);
  Napi::Value traffic(const Napi::CallbackInfo& info);
  Napi::Value failure(const Napi::CallbackInfo& info);
  void fail(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  /// The group, once the ranks have met; a thread of its own sets it.
  struct Held {
    std::mutex mutex;
    std::shared_ptr<api::ProcessGroup> group;

    std::shared_ptr<api::ProcessGroup> get() {
      const std::lock_guard lock(mutex);
      return group;
    }
  };
  template <typename Run>
  Napi::Promise submit(const Napi::CallbackInfo& info, Run run);

  GroupOptions options_;
  std::shared_ptr<Held> held_ = std::make_shared<Held>();
  std::unique_ptr<Worker> worker_;
};

}  // namespace ehrjepa::bindings
