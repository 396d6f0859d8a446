#include "worker.h"

#include <utility>

#include "api/errors.h"
#include "api/running_call.h"

namespace ehrjepa::bindings {
namespace {

// As lib/errors.ts has them.
constexpr const char* kAborted = "ABORT_ERR";
constexpr const char* kRanks = "EHR_JEPA_RANKS";
constexpr const char* kMemory = "EHR_JEPA_MEMORY";

const char* code_of(const std::exception& error) {
  if (api::is_cancellation(error)) return kAborted;
  if (api::is_of_ranks(error)) return kRanks;
  return api::is_out_of_memory(error) ? kMemory : "";
}

}  // namespace

Worker::Worker(Napi::Env env, std::function<void()> at_end)
    : env_(env),
      at_end_(std::move(at_end)),
      to_js_thread_(Napi::ThreadSafeFunction::New(env, Napi::Function(), "ehr_jepa worker", 0, 1)),
      thread_([this] { loop(); }) {
  to_js_thread_.Unref(env);
  // After the thread-safe function, so that it runs before that function's own hook.
  napi_add_env_cleanup_hook(env_, &Worker::on_teardown, this);
}

Worker::~Worker() {
  *alive_ = false;
  napi_remove_env_cleanup_hook(env_, &Worker::on_teardown, this);
  stop();
}

void Worker::on_teardown(void* self) {
  auto* const worker = static_cast<Worker*>(self);
  if (worker->owns_itself_) {
    delete worker;
  } else {
    worker->stop();
  }
}

Napi::Promise Worker::run_once(Napi::Env env, Call call) {
  // Deletes itself: when settled, or when the environment ends.
  auto* const worker = new Worker(env);
  worker->owns_itself_ = true;
  return worker->submit(env, 0, std::move(call), [worker] { delete worker; });
}

void Worker::expect_call(Napi::Env env) {
  if (expected_calls_++ == 0) to_js_thread_.Ref(env);
}

void Worker::call_made(Napi::Env env) {
  if (--expected_calls_ == 0) to_js_thread_.Unref(env);
}

Napi::Promise Worker::submit(Napi::Env env, std::uint32_t id, Call call, std::function<void()> done) {
  auto pending = std::make_unique<Pending>(id, std::move(call), env, std::move(done));
  const Napi::Promise promise = pending->deferred.Promise();
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) pending->error = "[engine] the model was closed";
    if (by_id_.contains(id)) pending->error = "[engine] jobId must be new but " + std::to_string(id) + " is pending";
    if (pending->error.empty()) {
      queue_.push_back(pending.get());
      by_id_[id] = std::move(pending);
    }
  }
  if (pending) {
    settle(env, *pending);
    return promise;
  }
  expect_call(env);
  wake_.notify_one();
  return promise;
}

void Worker::cancel(std::uint32_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found != by_id_.end()) found->second->cancelled = true;
}

void Worker::cancel_all() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [id, pending] : by_id_) pending->cancelled = true;
  }
  wake_.notify_one();
}

Napi::Promise Worker::close(Napi::Env env) {
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return closing_->Promise();
    closing_ = std::make_unique<Napi::Promise::Deferred>(Napi::Promise::Deferred::New(env));
  }
  expect_call(env);
  cancel_all();
  return closing_->Promise();
}

void Worker::stop() {
  cancel_all();
  if (thread_.joinable()) thread_.join();
}

void Worker::run(Pending& pending) {
  try {
    if (pending.cancelled) {
      pending.code = kAborted;
      pending.error = "[engine] the call was cancelled";
      return;
    }
    pending.to_js = pending.call(pending.cancelled);
  } catch (const std::exception& error) {
    pending.code = code_of(error);
    pending.error = api::message_of(error);
  } catch (...) {
    pending.error = "[engine] an unknown exception was thrown";
  }
}

void Worker::loop() {
  for (;;) {
    Pending* pending = nullptr;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) break;
      pending = queue_.front();
      queue_.pop_front();
    }
    {
      const api::RunningCall running;
      run(*pending);
    }
    // While the environment is torn down the call is refused or made without one; nobody then waits for the promise.
    to_js_thread_.NonBlockingCall([this, alive = alive_, pending](Napi::Env env, Napi::Function) {
      if (static_cast<napi_env>(env) == nullptr || !*alive) return;
      std::unique_ptr<Pending> owned;
      {
        const std::lock_guard lock(mutex_);
        const auto found = by_id_.find(pending->id);
        owned = std::move(found->second);
        by_id_.erase(found);
      }
      call_made(env);
      settle(env, *owned);
    });
  }
  if (at_end_) {
    const api::RunningCall running;
    at_end_();
  }
  if (closing_) {
    to_js_thread_.NonBlockingCall([this, alive = alive_](Napi::Env env, Napi::Function) {
      if (static_cast<napi_env>(env) == nullptr || !*alive) return;
      const Napi::HandleScope scope(env);
      call_made(env);
      closing_->Resolve(env.Undefined());
    });
  }
  to_js_thread_.Release();
}

void Worker::settle(Napi::Env env, Pending& pending) {
  const Napi::HandleScope scope(env);
  if (pending.error.empty()) {
    try {
      pending.deferred.Resolve(pending.to_js(env));
    } catch (const std::exception& error) {
      pending.error = error.what();
    }
  }
  if (!pending.error.empty()) {
    const Napi::Error error = Napi::Error::New(env, pending.error);
    if (!pending.code.empty()) error.Set("code", Napi::String::New(env, pending.code));
    pending.deferred.Reject(error.Value());
  }
  pending.done();
}

}  // namespace ehrjepa::bindings
