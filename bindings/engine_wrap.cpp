#include "engine_wrap.h"

#include <utility>

#include "convert.h"
#include "snapshot_object.h"

namespace ehrjepa::bindings {

Napi::Function EngineWrap::constructor(Napi::Env env) {
  return DefineClass(env, "Engine",
                     {
                         InstanceMethod<&EngineWrap::step>("step"),
                         InstanceMethod<&EngineWrap::losses>("losses"),
                         InstanceMethod<&EngineWrap::embed>("embed"),
                         InstanceMethod<&EngineWrap::predict_latent>("predictLatent"),
                         InstanceMethod<&EngineWrap::score>("score"),
                         InstanceMethod<&EngineWrap::trace>("trace"),
                         InstanceMethod<&EngineWrap::snapshot>("snapshot"),
                         InstanceMethod<&EngineWrap::save>("save"),
                         InstanceMethod<&EngineWrap::load>("load"),
                         InstanceMethod<&EngineWrap::parameter_count>("parameterCount"),
                         InstanceMethod<&EngineWrap::cancel>("cancel"),
                         InstanceMethod<&EngineWrap::close>("close"),
                     });
}

EngineWrap::EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info), env_(info.Env()) {
  const api::EngineOptions options = engine_options(info[0]);
  try {
    parameter_count_ = static_cast<double>(api::Engine::parameter_count(options));
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), api::message_of(error));
  }
  thread_ = std::make_unique<EngineThread>(info.Env(), options);
  // A step may be running when the environment ends (process.exit, a worker that is terminated): stop it first.
  napi_add_env_cleanup_hook(env_, &EngineWrap::on_teardown, this);
}

EngineWrap::~EngineWrap() {
  if (thread_) napi_remove_env_cleanup_hook(env_, &EngineWrap::on_teardown, this);
}

void EngineWrap::on_teardown(void* self) { static_cast<EngineWrap*>(self)->thread_->stop(); }

Napi::Promise EngineWrap::submit(const Napi::CallbackInfo& info,
                                 std::function<Job::ToJs(api::Engine&, const std::atomic<bool>&)> run) {
  // The JavaScript object stays alive until the call is settled.
  auto self = std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>()));
  Job job;
  job.id = job_id(info[0]);
  job.run = [run = std::move(run)](api::Engine& engine, const std::atomic<bool>& cancelled) {
    return run(engine, cancelled);
  };
  return thread_->submit(info.Env(), std::move(job), [self] { self->Reset(); });
}

Napi::Value EngineWrap::step(const Napi::CallbackInfo& info) {
  return submit(info,
                [batches = training_batches(info[1]), options = step_options(info[2])](
                    api::Engine& engine, const std::atomic<bool>& cancelled) -> Job::ToJs {
                  return [result = engine.step(batches, options, cancelled)](Napi::Env env) {
                    return to_object(env, result);
                  };
                });
}

Napi::Value EngineWrap::losses(const Napi::CallbackInfo& info) {
  return submit(info,
                [batch = training_batch(info[1]), options = loss_options(info[2])](
                    api::Engine& engine, const std::atomic<bool>& cancelled) -> Job::ToJs {
                  return [result = engine.losses(batch, options, cancelled)](Napi::Env env) {
                    return to_object(env, result);
                  };
                });
}

Napi::Value EngineWrap::embed(const Napi::CallbackInfo& info) {
  return submit(info,
                [batch = packed_batch(info[1]), pool = pooling(info[2]), encoder = encoder_choice(info[3])](
                    api::Engine& engine, const std::atomic<bool>& cancelled) -> Job::ToJs {
                  return [states = engine.embed(batch, pool, encoder, cancelled)](Napi::Env env) {
                    return float32_array(env, states);
                  };
                });
}

Napi::Value EngineWrap::predict_latent(const Napi::CallbackInfo& info) {
  return submit(info,
                [states = float32_argument("states", info[1]), days = float32_argument("daysAhead", info[2])](
                    api::Engine& engine, const std::atomic<bool>&) -> Job::ToJs {
                  return [predicted = engine.predict_latent(states, days)](Napi::Env env) {
                    return float32_array(env, predicted);
                  };
                });
}

Napi::Value EngineWrap::score(const Napi::CallbackInfo& info) {
  return submit(info,
                [batch = packed_batch(info[1]), with_hidden = boolean_argument("withHidden", info[2])](
                    api::Engine& engine, const std::atomic<bool>& cancelled) -> Job::ToJs {
                  return [scores = engine.score(batch, with_hidden, cancelled)](Napi::Env env) {
                    const Napi::Object result = Napi::Object::New(env);
                    result.Set("logProbabilities", float32_array(env, scores.log_probabilities));
                    result.Set("hidden", float32_array(env, scores.hidden));
                    return result;
                  };
                });
}

Napi::Value EngineWrap::trace(const Napi::CallbackInfo& info) {
  return submit(
      info,
      [batch = training_batch(info[1]), options = loss_options(info[2]), path = text_argument("path", info[3])](
          api::Engine& engine, const std::atomic<bool>& cancelled) -> Job::ToJs {
        engine.trace(batch, options, path, cancelled);
        return [](Napi::Env env) { return env.Undefined(); };
      });
}

Napi::Value EngineWrap::save(const Napi::CallbackInfo& info) {
  return submit(info,
                [kind = state_kind(info[1]), path = text_argument("path", info[2]), options = save_options(info[3])](
                    api::Engine& engine, const std::atomic<bool>&) -> Job::ToJs {
                  engine.save(kind, path, options);
                  return [](Napi::Env env) { return env.Undefined(); };
                });
}

Napi::Value EngineWrap::load(const Napi::CallbackInfo& info) {
  return submit(info,
                [kind = state_kind(info[1]), entries = tensor_entries(info[2]), where = placement(info[3])](
                    api::Engine& engine, const std::atomic<bool>&) -> Job::ToJs {
                  engine.load(kind, entries, where);
                  return [](Napi::Env env) { return env.Undefined(); };
                });
}

Napi::Value EngineWrap::snapshot(const Napi::CallbackInfo& info) {
  return submit(info, [kinds = state_kinds(info[1])](api::Engine& engine, const std::atomic<bool>&) -> Job::ToJs {
    return [copy = engine.snapshot(kinds)](Napi::Env env) { return snapshot_object(env, copy); };
  });
}

Napi::Value EngineWrap::parameter_count(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), parameter_count_);
}

void EngineWrap::cancel(const Napi::CallbackInfo& info) { thread_->cancel(job_id(info[0])); }

Napi::Value EngineWrap::close(const Napi::CallbackInfo& info) { return thread_->close(info.Env()); }

}  // namespace ehrjepa::bindings
