#include "probe_functions.h"

#include <atomic>
#include <cstring>
#include <functional>
#include <utility>

#include "convert.h"
#include "engine.h"
#include "probes.h"

namespace ehrjepa::bindings {
namespace {

/// Runs a solver on a thread of libuv's pool: a probe takes milliseconds to seconds and needs no state.
class SolverWorker : public Napi::AsyncWorker {
 public:
  using ToJs = std::function<Napi::Value(Napi::Env)>;

  static Napi::Promise run(Napi::Env env, std::function<ToJs()> solve) {
    auto* const worker = new SolverWorker(env, std::move(solve));  // deletes itself after completion
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      to_js_ = solve_();
    } catch (const std::exception& error) {
      SetError(api::message_of(error));
    }
  }
  void OnOK() override { deferred_.Resolve(to_js_(Env())); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  SolverWorker(Napi::Env env, std::function<ToJs()> solve)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), solve_(std::move(solve)) {}

  Napi::Promise::Deferred deferred_;
  std::function<ToJs()> solve_;
  ToJs to_js_;
};

const std::atomic<bool> never_cancelled{false};

Napi::Float64Array float64_array(Napi::Env env, const std::vector<double>& values) {
  Napi::Float64Array array = Napi::Float64Array::New(env, values.size());
  std::memcpy(array.Data(), values.data(), values.size() * sizeof(double));
  return array;
}

Napi::Value fit_logistic(const Napi::CallbackInfo& info) {
  const FieldReader read("logistic options", info[0]);
  api::LogisticOptions options{read.float32s("features"), read.integer("rows"), read.integer("columns"),
                               read.uint8s("labels"), read.numbers("l2")};
  return SolverWorker::run(info.Env(), [options = std::move(options)]() -> SolverWorker::ToJs {
    return [result = api::fit_logistic(options, never_cancelled)](Napi::Env env) -> Napi::Value {
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
  return SolverWorker::run(info.Env(), [options = std::move(options)]() -> SolverWorker::ToJs {
    return [weights = api::fit_ridge(options, never_cancelled)](Napi::Env env) -> Napi::Value {
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
