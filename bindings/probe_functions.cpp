#include "probe_functions.h"

#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "convert.h"
#include "probes.h"
#include "solver_thread.h"

namespace ehrjepa::bindings {
namespace {

Napi::Float64Array float64_array(Napi::Env env, const std::vector<double>& values) {
  Napi::Float64Array array = Napi::Float64Array::New(env, values.size());
  std::memcpy(array.Data(), values.data(), values.size() * sizeof(double));
  return array;
}

Napi::Value fit_logistic(const Napi::CallbackInfo& info) {
  const FieldReader read("logistic options", info[0]);
  api::LogisticOptions options{read.float32s("features"), read.integer("rows"), read.integer("columns"),
                               read.uint8s("labels"), read.numbers("l2")};
  return SolverThread::run(
      info.Env(), [options = std::move(options)](const std::atomic<bool>& cancelled) -> SolverThread::ToJs {
        return [result = api::fit_logistic(options, cancelled)](Napi::Env env) -> Napi::Value {
          const Napi::Object object = Napi::Object::New(env);
          object.Set("weights", float64_array(env, result.weights));
          Napi::Int32Array iterations = Napi::Int32Array::New(env, result.iterations.size());
          std::memcpy(iterations.Data(), result.iterations.data(), result.iterations.size() * sizeof(std::int32_t));
          object.Set("iterations", iterations);
          Napi::Uint8Array converged = Napi::Uint8Array::New(env, result.converged.size());
          std::memcpy(converged.Data(), result.converged.data(), result.converged.size());
          object.Set("converged", converged);
          return object;
        };
      });
}

Napi::Value fit_ridge(const Napi::CallbackInfo& info) {
  const FieldReader read("ridge options", info[0]);
  api::RidgeOptions options{read.float32s("features"), read.integer("rows"),    read.integer("columns"),
                            read.float32s("targets"),  read.integer("outputs"), read.numbers("l2")};
  return SolverThread::run(info.Env(),
                           [options = std::move(options)](const std::atomic<bool>& cancelled) -> SolverThread::ToJs {
                             return [weights = api::fit_ridge(options, cancelled)](Napi::Env env) -> Napi::Value {
                               const Napi::Object object = Napi::Object::New(env);
                               object.Set("weights", float64_array(env, weights));
                               return object;
                             };
                           });
}

}  // namespace

void register_probe_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("fitLogistic", Napi::Function::New(env, fit_logistic, "fitLogistic"));
  exports.Set("fitRidge", Napi::Function::New(env, fit_ridge, "fitRidge"));
}

}  // namespace ehrjepa::bindings
