#include "snapshot_object.h"

#include <utility>

#include "convert.h"
#include "solver_thread.h"

namespace ehrjepa::bindings {

Napi::Object snapshot_object(Napi::Env env, std::shared_ptr<api::Snapshot> snapshot) {
  // Both functions share one pointer, which `release` empties.
  const auto held = std::make_shared<std::shared_ptr<api::Snapshot>>(std::move(snapshot));
  const Napi::Object object = Napi::Object::New(env);
  object.Set("write", Napi::Function::New(
                          env,
                          [held](const Napi::CallbackInfo& info) -> Napi::Value {
                            if (!*held) throw Napi::Error::New(info.Env(), "[engine] the snapshot was released");
                            return SolverThread::run(
                                info.Env(),
                                [copy = *held, kind = state_kind(info[0]), path = text_argument("path", info[1]),
                                 meta = metadata(info[2])](const std::atomic<bool>&) -> SolverThread::ToJs {
                                  copy->write(kind, path, meta);
                                  return [](Napi::Env to) { return to.Undefined(); };
                                });
                          },
                          "write"));
  object.Set("release", Napi::Function::New(env, [held](const Napi::CallbackInfo&) { held->reset(); }, "release"));
  return object;
}

}  // namespace ehrjepa::bindings
