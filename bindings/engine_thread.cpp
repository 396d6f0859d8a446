#include "engine_thread.h"

#include <utility>
#include <vector>

namespace ehrjepa::bindings {

EngineThread::EngineThread(Napi::Env env, api::EngineOptions options)
    : options_(std::move(options)),
      to_js_thread_(Napi::ThreadSafeFunction::New(env, Napi::Function(), "ehr_jepa engine", 0, 1)),
      thread_([this] { loop(); }) {
  to_js_thread_.Unref(env);
}

EngineThread::~EngineThread() {
  *alive_ = false;
  stop();
}

void EngineThread::expect_call(Napi::Env env) {
  if (expected_calls_++ == 0) to_js_thread_.Ref(env);
}

void EngineThread::call_made(Napi::Env env) {
  if (--expected_calls_ == 0) to_js_thread_.Unref(env);
}

Napi::Promise EngineThread::submit(Napi::Env env, Job job, std::function<void()> done) {
  const std::uint32_t id = job.id;
  auto pending = std::make_unique<Pending>(std::move(job), env, std::move(done));
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

void EngineThread::cancel(std::uint32_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found != by_id_.end()) found->second->cancelled = true;
}

void EngineThread::cancel_all() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [id, pending] : by_id_) pending->cancelled = true;
  }
  wake_.notify_one();
}

Napi::Promise EngineThread::close(Napi::Env env) {
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return closing_->Promise();
    closing_ = std::make_unique<Napi::Promise::Deferred>(Napi::Promise::Deferred::New(env));
  }
  expect_call(env);
  cancel_all();
  return closing_->Promise();
}

void EngineThread::stop() {
  cancel_all();
  if (thread_.joinable()) thread_.join();
}

void EngineThread::loop() {
  std::unique_ptr<api::Engine> engine;
  for (;;) {
    Pending* pending = nullptr;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) break;
      pending = queue_.front();
      queue_.pop_front();
    }
    try {
      if (pending->cancelled) {
        pending->was_cancelled = true;
        pending->error = "[engine] the call was cancelled";
      } else {
        if (!engine) engine = std::make_unique<api::Engine>(options_);
        pending->to_js = pending->job.run(*engine, pending->cancelled);
      }
    } catch (const std::exception& error) {
      pending->was_cancelled = api::is_cancellation(error);
      pending->error = api::message_of(error);
    } catch (...) {
      pending->error = "[engine] an unknown exception was thrown";
    }
    // While the environment is torn down the call is refused or made without one; nobody then waits for the promise.
    to_js_thread_.NonBlockingCall([this, alive = alive_, pending](Napi::Env env, Napi::Function) {
      if (static_cast<napi_env>(env) == nullptr || !*alive) return;
      std::unique_ptr<Pending> owned;
      {
        const std::lock_guard lock(mutex_);
        const auto found = by_id_.find(pending->job.id);
        owned = std::move(found->second);
        by_id_.erase(found);
      }
      call_made(env);
      settle(env, *owned);
    });
  }
  engine.reset();
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

void EngineThread::settle(Napi::Env env, Pending& pending) {
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
    if (pending.was_cancelled) error.Set("code", Napi::String::New(env, "ABORT_ERR"));
    pending.deferred.Reject(error.Value());
  }
  pending.done();
}

}  // namespace ehrjepa::bindings
