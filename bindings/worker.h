#pragma once
#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

namespace ehrjepa::bindings {

/// One thread that runs calls in order. Promises are settled on the JavaScript thread through one thread-safe function,
/// which keeps the process alive only while calls are pending. When the environment ends, the running call is cancelled
/// and waited for.
///
/// A thread of our own and not libuv's pool: a step takes seconds, which would hold up file access there, and libtorch
/// keeps its OpenMP threads for each calling thread.
class Worker {
 public:
  /// What the JavaScript thread does with a result.
  using ToJs = std::function<Napi::Value(Napi::Env)>;
  /// Runs on the worker's thread. Neither may touch what belongs to the other.
  using Call = std::function<ToJs(const std::atomic<bool>& cancelled)>;

  /// @param at_end  called on the thread when it ends.
  explicit Worker(Napi::Env env, std::function<void()> at_end = {});
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// One call on a thread of its own, which ends with it.
  static Napi::Promise run_once(Napi::Env env, Call call);

  /// @param id    names the call for `cancel`.
  /// @param done  called on the JavaScript thread after the promise was settled.
  /// @return a promise for the call's result.
  Napi::Promise submit(Napi::Env env, std::uint32_t id, Call call, std::function<void()> done);
  /// Raises the flag of a queued or running call; unknown ids are ignored.
  void cancel(std::uint32_t id);
  /// Cancels everything; the promise resolves when the thread has ended. Later calls are rejected.
  Napi::Promise close(Napi::Env env);

 private:
  struct Pending {
    Pending(std::uint32_t i, Call c, Napi::Env env, std::function<void()> d)
        : id(i), call(std::move(c)), deferred(Napi::Promise::Deferred::New(env)), done(std::move(d)) {}
    std::uint32_t id;
    Call call;
    Napi::Promise::Deferred deferred;
    std::function<void()> done;
    std::atomic<bool> cancelled{false};
    ToJs to_js;
    std::string error;
    std::string code;  ///< of an error that callers tell from others
  };
  /// Hook of the environment's end.
  static void on_teardown(void* self);
  void loop();
  void run(Pending& pending);
  void cancel_all();
  /// As `close`, but waits. Safe to call twice.
  void stop();
  /// Counts a call to come on the JavaScript thread; the process stays alive until it was made.
  void expect_call(Napi::Env env);
  void call_made(Napi::Env env);
  static void settle(Napi::Env env, Pending& pending);

  napi_env env_;
  std::function<void()> at_end_;
  Napi::ThreadSafeFunction to_js_thread_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Pending*> queue_;
  // Owns the calls: entries go in and out on the JavaScript thread, where references may be released.
  std::unordered_map<std::uint32_t, std::unique_ptr<Pending>> by_id_;
  std::unique_ptr<Napi::Promise::Deferred> closing_;
  bool stopping_ = false;
  bool owns_itself_ = false;  // JavaScript thread only, as the rest
  std::size_t expected_calls_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::thread thread_;
};

}  // namespace ehrjepa::bindings
