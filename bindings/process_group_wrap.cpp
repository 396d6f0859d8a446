#include "process_group_wrap.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "convert.h"

namespace ehrjepa::bindings {
namespace {

std::uint32_t group_job_id(const Napi::CallbackInfo& info) { return read<std::uint32_t>({"ranks", "jobId"}, info[0]); }

}  // namespace

Napi::Function ProcessGroupWrap::constructor(Napi::Env env) {
  return DefineClass(env, "ProcessGroup",
                     {
                         InstanceMethod<&ProcessGroupWrap::join>("join"),
                         InstanceMethod<&ProcessGroupWrap::report>("report"),
                         InstanceMethod<&ProcessGroupWrap::exchange>("exchange"),
                         InstanceMethod<&ProcessGroupWrap::traffic>("traffic"),
                         InstanceMethod<&ProcessGroupWrap::failure>("failure"),
                         InstanceMethod<&ProcessGroupWrap::fail>("fail"),
                         InstanceMethod<&ProcessGroupWrap::cancel>("cancel"),
                         InstanceMethod<&ProcessGroupWrap::close>("close"),
                     });
}

ProcessGroupWrap::ProcessGroupWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ProcessGroupWrap>(info), options_(read<GroupOptions>({"ranks", "options"}, info[0])) {
  worker_ = std::make_unique<Worker>(info.Env(), [held = held_] {
    std::shared_ptr<api::ProcessGroup> group;
    {
      const std::lock_guard lock(held->mutex);
      group.swap(held->group);
    }
    if (group) group->leave();
  });
}

std::shared_ptr<api::ProcessGroup> ProcessGroupWrap::of(const Napi::Value& value) {
  const std::shared_ptr<api::ProcessGroup> group =
      value.IsObject() ? Unwrap(value.As<Napi::Object>())->held_->get() : nullptr;
  if (!group) throw Napi::Error::New(value.Env(), "[ranks] the group must have met, and not be closed, to be joined");
  return group;
}

template <typename Run>
Napi::Promise ProcessGroupWrap::submit(const Napi::CallbackInfo& info, Run run) {
  // The JavaScript object stays alive until the call is settled.
  auto self = std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>()));
  return worker_->submit(info.Env(), group_job_id(info), std::move(run), [self] { self->Reset(); });
}

Napi::Value ProcessGroupWrap::join(const Napi::CallbackInfo& info) {
  return submit(info, [held = held_, options = options_](const std::atomic<bool>& cancelled) -> Worker::ToJs {
    auto group = std::make_shared<api::ProcessGroup>(options, cancelled);
    {
      const std::lock_guard lock(held->mutex);
      held->group = std::move(group);
    }
    return [](Napi::Env env) { return env.Undefined(); };
  });
}

Napi::Value ProcessGroupWrap::report(const Napi::CallbackInfo& info) {
  return submit(info,
                [options = options_, why = read<std::string>({"ranks", "why"}, info[1])](
                    const std::atomic<bool>& cancelled) -> Worker::ToJs {
                  api::report_failure(options, why, cancelled);
                  return [](Napi::Env env) { return env.Undefined(); };
                });
}

Napi::Value ProcessGroupWrap::exchange(const Napi::CallbackInfo& info) {
  return submit(info,
                [group = of(info.This()), text = read<std::string>({"ranks", "text"}, info[1])](
                    const std::atomic<bool>& cancelled) -> Worker::ToJs {
                  return [texts = group->exchange(text, cancelled)](Napi::Env env) { return write(env, texts); };
                });
}

Napi::Value ProcessGroupWrap::traffic(const Napi::CallbackInfo& info) {
  return write(info.Env(), of(info.This())->traffic());
}

Napi::Value ProcessGroupWrap::failure(const Napi::CallbackInfo& info) {
  const std::shared_ptr<api::ProcessGroup> group = held_->get();
  return write(info.Env(), group ? group->failure() : std::nullopt);
}

void ProcessGroupWrap::fail(const Napi::CallbackInfo& info) {
  if (const auto group = held_->get()) group->fail(read<std::string>({"ranks", "message"}, info[0]));
}

void ProcessGroupWrap::cancel(const Napi::CallbackInfo& info) { worker_->cancel(group_job_id(info)); }

Napi::Value ProcessGroupWrap::close(const Napi::CallbackInfo& info) { return worker_->close(info.Env()); }

}  // namespace ehrjepa::bindings
