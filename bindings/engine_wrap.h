#pragma once
#include <napi.h>

#include <memory>

#include "engine_thread.h"

namespace ehrjepa::bindings {

/// `Engine` of lib/native.ts: converts, queues, converts back. No tensor and no libtorch type is visible here.
class EngineWrap : public Napi::ObjectWrap<EngineWrap> {
 public:
  static Napi::Function constructor(Napi::Env env);
  explicit EngineWrap(const Napi::CallbackInfo& info);
  ~EngineWrap() override;

 private:
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value losses(const Napi::CallbackInfo& info);
  Napi::Value embed(const Napi::CallbackInfo& info);
  Napi::Value predict_latent(const Napi::CallbackInfo& info);
  Napi::Value score(const Napi::CallbackInfo& info);
  Napi::Value trace(const Napi::CallbackInfo& info);
  Napi::Value snapshot(const Napi::CallbackInfo& info);
  Napi::Value save(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value parameter_count(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  Napi::Promise submit(const Napi::CallbackInfo& info,
                       std::function<Job::ToJs(api::Engine&, const std::atomic<bool>&)> run);
  static void on_teardown(void* self);

  double parameter_count_ = 0;
  std::unique_ptr<EngineThread> thread_;
  napi_env env_;
};

}  // namespace ehrjepa::bindings
