#pragma once
#include <napi.h>

#include <memory>

#include "api/engine.h"
#include "worker.h"

namespace ehrjepa::bindings {

/// `Engine` of lib/native.ts: converts, queues, converts back. No tensor and no libtorch type is visible here.
class EngineWrap : public Napi::ObjectWrap<EngineWrap> {
 public:
  static Napi::Function constructor(Napi::Env env);
  explicit EngineWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value join(const Napi::CallbackInfo& info);
  Napi::Value gather_model(const Napi::CallbackInfo& info);
  Napi::Value release_model(const Napi::CallbackInfo& info);
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

  /// Queues a call of the engine.
  /// @param info  the first argument is the number of the job.
  /// @param run   (engine, cancelled) on the engine's thread; what it returns becomes the promise's value, or
  /// undefined.
  template <typename Run>
  Napi::Promise submit(const Napi::CallbackInfo& info, Run run);

  EngineOptions options_;
  double parameter_count_ = 0;
  /// Made, used and destroyed on the worker's thread alone: libtorch keeps its threads for each calling thread.
  std::shared_ptr<std::unique_ptr<api::Engine>> engine_ = std::make_shared<std::unique_ptr<api::Engine>>();
  std::unique_ptr<Worker> worker_;
};

}  // namespace ehrjepa::bindings
