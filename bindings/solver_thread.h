#pragma once
#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace ehrjepa::bindings {

/// One call of a solver on a thread of its own: seconds of work would hold up file access in libuv's pool, and libtorch
/// keeps its OpenMP threads per calling thread, so they end with this one.
class SolverThread {
 public:
  using ToJs = std::function<Napi::Value(Napi::Env)>;
  /// Runs off the JavaScript thread and returns what the JavaScript thread does with the result.
  using Solve = std::function<ToJs(const std::atomic<bool>& cancelled)>;

  /// @return a promise for the result; the exception of `solve` rejects it. When the environment ends first, the solver
  ///         is cancelled and waited for.
  static Napi::Promise run(Napi::Env env, Solve solve);

  SolverThread(const SolverThread&) = delete;
  SolverThread& operator=(const SolverThread&) = delete;

 private:
  SolverThread(Napi::Env env, Solve solve);
  ~SolverThread();
  void work();
  void settle(Napi::Env env);
  /// Hook of the environment's end.
  static void abandon(void* self);

  Napi::Promise::Deferred deferred_;
  Napi::ThreadSafeFunction to_js_thread_;
  Solve solve_;
  ToJs to_js_;
  std::string error_;
  std::atomic<bool> cancelled_{false};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // JavaScript thread only
  std::thread thread_;
};

}  // namespace ehrjepa::bindings
