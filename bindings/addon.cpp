#include <napi.h>

#include "api/build_info.h"
#include "api/devices.h"
#include "api/doctor.h"
#include "api/errors.h"
#include "api/running_call.h"
#include "api/weight_shapes.h"
#include "contract_object.h"
#include "convert.h"
#include "engine_wrap.h"
#include "probe_functions.h"
#include "process_group_wrap.h"
#include "worker.h"

namespace ehrjepa::bindings {
namespace {

Napi::Value build_info(const Napi::CallbackInfo& info) { return write(info.Env(), api::build_info()); }

Napi::Value devices(const Napi::CallbackInfo& info) { return write(info.Env(), api::devices()); }

Napi::Value check_ops(const Napi::CallbackInfo& info) {
  return Worker::run_once(
      info.Env(),
      [options = read<OpCheckOptions>({"check ops", ""}, info[0])](const std::atomic<bool>& cancelled) -> Worker::ToJs {
        return [checks = api::check_ops(options, cancelled)](Napi::Env env) { return write(env, checks); };
      });
}

Napi::Value weight_shapes(const Napi::CallbackInfo& info) {
  const auto config = read<Qwen3Config>({"weight shapes", "shape"}, info[0]);
  try {
    return write(info.Env(), api::weight_shapes(config));
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), api::message_of(error));
  }
}

void prepare_exit(const Napi::CallbackInfo& info) {
  api::check_at_exit(read<std::int32_t>({"engine", "code"}, info[0]));
}

/// Called once per environment (main thread, each worker thread); nothing is kept in statics.
Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("Engine", EngineWrap::constructor(env));
  exports.Set("ProcessGroup", ProcessGroupWrap::constructor(env));
  exports.Set("buildInfo", Napi::Function::New(env, build_info, "buildInfo"));
  exports.Set("checkOps", Napi::Function::New(env, check_ops, "checkOps"));
  exports.Set("devices", Napi::Function::New(env, devices, "devices"));
  exports.Set("weightShapes", Napi::Function::New(env, weight_shapes, "weightShapes"));
  exports.Set("prepareExit", Napi::Function::New(env, prepare_exit, "prepareExit"));
  exports.Set("contract", Napi::Function::New(env, contract_object, "contract"));
  register_probe_functions(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(ehr_jepa, initialise)

}  // namespace ehrjepa::bindings
