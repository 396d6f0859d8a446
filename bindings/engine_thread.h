#pragma once
#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "engine.h"

namespace ehrjepa::bindings {

/// A call that waits for the engine thread. `run` uses the engine and returns what the JavaScript thread does with the
/// result; neither may touch the other's world.
struct Job {
  using ToJs = std::function<Napi::Value(Napi::Env)>;
  std::uint32_t id = 0;
  std::function<ToJs(api::Engine&, const std::atomic<bool>& cancelled)> run;
};

/// One thread that owns one engine. Calls run in order; promises are settled on the JavaScript thread through one
/// thread-safe function, which keeps the process alive only while calls are pending.
class EngineThread {
 public:
  EngineThread(Napi::Env env, api::EngineOptions options);
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  /// @param done  called on the JavaScript thread after the promise was settled.
  /// @return a promise for the job's result.
  Napi::Promise submit(Napi::Env env, Job job, std::function<void()> done);
  /// Cancels everything; the promise resolves when the thread has ended. Later calls are rejected.
  Napi::Promise close(Napi::Env env);
  /// Raises the flag of a queued or running job; unknown ids are ignored.
  void cancel(std::uint32_t id);
  /// As `close`, but waits: for the end of the environment. Safe to call twice.
  void stop();

 private:
  struct Pending {
    Job job;
    Napi::Promise::Deferred deferred;
    std::function<void()> done;
    std::atomic<bool> cancelled{false};

    Pending(Job j, Napi::Env env, std::function<void()> d)
        : job(std::move(j)), deferred(Napi::Promise::Deferred::New(env)), done(std::move(d)) {}
    Job::ToJs to_js;
    std::string error;
    bool was_cancelled = false;
  };
  void loop();
  void cancel_all();
  /// Counts a call to come on the JavaScript thread; the process stays alive until it was made.
  void expect_call(Napi::Env env);
  void call_made(Napi::Env env);
  static void settle(Napi::Env env, Pending& pending);

  api::EngineOptions options_;
  Napi::ThreadSafeFunction to_js_thread_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Pending*> queue_;
  // Owns the calls: entries go in and out on the JavaScript thread, where references may be released.
  std::unordered_map<std::uint32_t, std::unique_ptr<Pending>> by_id_;
  std::unique_ptr<Napi::Promise::Deferred> closing_;
  bool stopping_ = false;
  std::size_t expected_calls_ = 0;                              // JavaScript thread only
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // JavaScript thread only
  std::thread thread_;
};

}  // namespace ehrjepa::bindings
