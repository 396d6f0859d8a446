#include "snapshot_object.h"

#include <utility>

#include "convert.h"
#include "worker.h"

namespace ehrjepa::bindings {

Napi::Object snapshot_object(Napi::Env env, std::shared_ptr<api::Snapshot> snapshot) {
  // Both functions share one pointer, which `release` empties.
  const auto held = std::make_shared<std::shared_ptr<api::Snapshot>>(std::move(snapshot));
  const auto write_part = [held](const Napi::CallbackInfo& info) -> Napi::Value {
    if (!*held) throw Napi::Error::New(info.Env(), "[engine] the snapshot was released");
    return Worker::run_once(info.Env(),
                            [copy = *held, kind = read<StateKind>({"snapshot", "kind"}, info[0]),
                             path = read<std::string>({"snapshot", "path"}, info[1]),
                             metadata = read<std::map<std::string, std::string>>({"snapshot", "metadata"}, info[2])](
                                const std::atomic<bool>&) -> Worker::ToJs {
                              copy->write(kind, path, metadata);
                              return [](Napi::Env to) { return to.Undefined(); };
                            });
  };
  const Napi::Object object = Napi::Object::New(env);
  object.Set("write", Napi::Function::New(env, write_part, "write"));
  object.Set("release", Napi::Function::New(env, [held](const Napi::CallbackInfo&) { held->reset(); }, "release"));
  return object;
}

}  // namespace ehrjepa::bindings
