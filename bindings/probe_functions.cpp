#include "probe_functions.h"

#include <atomic>
#include <utility>

#include "api/probes.h"
#include "convert.h"
#include "worker.h"

namespace ehrjepa::bindings {
namespace {

/// A solver as a function of JavaScript: options in, a promise of its result out.
template <typename Options, typename Result>
Napi::Value solve(const Napi::CallbackInfo& info, const char* scope,
                  Result (*solver)(const Options&, const std::atomic<bool>&)) {
  return Worker::run_once(
      info.Env(),
      [options = read<Options>({scope, ""}, info[0]), solver](const std::atomic<bool>& cancelled) -> Worker::ToJs {
        return [result = solver(options, cancelled)](Napi::Env env) { return write(env, result); };
      });
}

Napi::Value fit_logistic(const Napi::CallbackInfo& info) { return solve(info, "logistic options", &api::fit_logistic); }
Napi::Value fit_ridge(const Napi::CallbackInfo& info) { return solve(info, "ridge options", &api::fit_ridge); }
Napi::Value fit_boosting(const Napi::CallbackInfo& info) { return solve(info, "boosting options", &api::fit_boosting); }
Napi::Value fit_multinomial(const Napi::CallbackInfo& info) {
  return solve(info, "multinomial options", &api::fit_multinomial);
}
Napi::Value fit_cox(const Napi::CallbackInfo& info) { return solve(info, "cox options", &api::fit_cox); }
Napi::Value fit_hazard(const Napi::CallbackInfo& info) { return solve(info, "hazard options", &api::fit_hazard); }
Napi::Value resample(const Napi::CallbackInfo& info) { return solve(info, "resample options", &api::resample); }

}  // namespace

void register_probe_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("fitLogistic", Napi::Function::New(env, fit_logistic, "fitLogistic"));
  exports.Set("fitRidge", Napi::Function::New(env, fit_ridge, "fitRidge"));
  exports.Set("fitBoosting", Napi::Function::New(env, fit_boosting, "fitBoosting"));
  exports.Set("fitMultinomial", Napi::Function::New(env, fit_multinomial, "fitMultinomial"));
  exports.Set("fitCox", Napi::Function::New(env, fit_cox, "fitCox"));
  exports.Set("fitHazard", Napi::Function::New(env, fit_hazard, "fitHazard"));
  exports.Set("resample", Napi::Function::New(env, resample, "resample"));
}

}  // namespace ehrjepa::bindings
