#include <napi.h>

#include "build_info.h"
#include "engine_wrap.h"
#include "probe_functions.h"

namespace ehrjepa::bindings {
namespace {

Napi::Value build_info(const Napi::CallbackInfo& info) {
  const api::BuildInfo build = api::build_info();
  const Napi::Object result = Napi::Object::New(info.Env());
  result.Set("version", build.version);
  result.Set("torch", build.torch);
  result.Set("cuda", build.cuda);
  result.Set("cpuCapability", build.cpu_capability);
  return result;
}

/// Called once per environment (main thread, each worker thread); nothing is kept in statics.
Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("Engine", EngineWrap::constructor(env));
  exports.Set("buildInfo", Napi::Function::New(env, build_info, "buildInfo"));
  register_probe_functions(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(ehr_jepa, initialise)

}  // namespace ehrjepa::bindings
