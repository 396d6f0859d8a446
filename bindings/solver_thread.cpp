#include "solver_thread.h"

#include <utility>

#include "engine.h"

namespace ehrjepa::bindings {

Napi::Promise SolverThread::run(Napi::Env env, Solve solve) {
  // Deletes itself: when settled, or when the environment ends.
  auto* const call = new SolverThread(env, std::move(solve));
  return call->deferred_.Promise();
}

SolverThread::SolverThread(Napi::Env env, Solve solve)
    : deferred_(Napi::Promise::Deferred::New(env)),
      to_js_thread_(Napi::ThreadSafeFunction::New(env, Napi::Function(), "ehr_jepa solver", 0, 1)),
      solve_(std::move(solve)) {
  // After the thread-safe function, so that it runs before that function's own hook.
  napi_add_env_cleanup_hook(env, &SolverThread::abandon, this);
  thread_ = std::thread([this] { work(); });
}

SolverThread::~SolverThread() {
  *alive_ = false;
  if (thread_.joinable()) thread_.join();
}

void SolverThread::abandon(void* self) {
  auto* const call = static_cast<SolverThread*>(self);
  call->cancelled_ = true;
  delete call;
}

void SolverThread::work() {
  try {
    to_js_ = solve_(cancelled_);
  } catch (const std::exception& error) {
    error_ = api::message_of(error);
  } catch (...) {
    error_ = "[native] an unknown exception was thrown";
  }
  to_js_thread_.NonBlockingCall([this, alive = alive_](Napi::Env env, Napi::Function) {
    if (static_cast<napi_env>(env) != nullptr && *alive) settle(env);
  });
  to_js_thread_.Release();
}

void SolverThread::settle(Napi::Env env) {
  const Napi::HandleScope scope(env);
  napi_remove_env_cleanup_hook(env, &SolverThread::abandon, this);
  const std::unique_ptr<SolverThread, void (*)(SolverThread*)> owned(this, [](SolverThread* call) { delete call; });
  if (error_.empty()) {
    try {
      deferred_.Resolve(to_js_(env));
      return;
    } catch (const std::exception& error) {
      error_ = error.what();
    }
  }
  deferred_.Reject(Napi::Error::New(env, error_).Value());
}

}  // namespace ehrjepa::bindings
