#include "engine_wrap.h"

#include <string>
#include <type_traits>
#include <utility>

#include "api/errors.h"
#include "convert.h"
#include "process_group_wrap.h"
#include "snapshot_object.h"

namespace ehrjepa::bindings {
namespace {

/// A result for JavaScript.
template <typename Result>
Napi::Value to_js(Napi::Env env, const Result& result) {
  return write(env, result);
}
Napi::Value to_js(Napi::Env env, const std::shared_ptr<api::Snapshot>& snapshot) {
  return snapshot_object(env, snapshot);
}

std::uint32_t job_id(const Napi::CallbackInfo& info) { return read<std::uint32_t>({"engine", "jobId"}, info[0]); }

}  // namespace

Napi::Function EngineWrap::constructor(Napi::Env env) {
  return DefineClass(env, "Engine",
                     {
                         InstanceMethod<&EngineWrap::join>("join"),
                         InstanceMethod<&EngineWrap::gather_model>("gatherModel"),
                         InstanceMethod<&EngineWrap::release_model>("releaseModel"),
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

EngineWrap::EngineWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<EngineWrap>(info), options_(read<EngineOptions>({"engine", "options"}, info[0])) {
  try {
    parameter_count_ = static_cast<double>(api::Engine::parameter_count(options_));
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), api::message_of(error));
  }
  worker_ = std::make_unique<Worker>(info.Env(), [engine = engine_] { engine->reset(); });
}

template <typename Run>
Napi::Promise EngineWrap::submit(const Napi::CallbackInfo& info, Run run) {
  // The JavaScript object stays alive until the call is settled.
  auto self = std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>()));
  return worker_->submit(
      info.Env(), job_id(info),
      [engine = engine_, options = options_, run = std::move(run)](const std::atomic<bool>& cancelled) -> Worker::ToJs {
        if (!*engine) *engine = std::make_unique<api::Engine>(options);
        if constexpr (std::is_void_v<decltype(run(**engine, cancelled))>) {
          run(**engine, cancelled);
          return [](Napi::Env env) { return env.Undefined(); };
        } else {
          return [result = run(**engine, cancelled)](Napi::Env env) { return to_js(env, result); };
        }
      },
      [self] { self->Reset(); });
}

Napi::Value EngineWrap::join(const Napi::CallbackInfo& info) {
  return submit(info, [group = ProcessGroupWrap::of(info[1]), kind = read<ParallelKind>({"ranks", "kind"}, info[2])](
                          api::Engine& engine, const std::atomic<bool>&) { engine.join(group, kind); });
}

Napi::Value EngineWrap::gather_model(const Napi::CallbackInfo& info) {
  return submit(info, [](api::Engine& engine, const std::atomic<bool>& cancelled) { engine.gather_model(cancelled); });
}

Napi::Value EngineWrap::release_model(const Napi::CallbackInfo& info) {
  return submit(info, [](api::Engine& engine, const std::atomic<bool>&) { engine.release_model(); });
}

Napi::Value EngineWrap::step(const Napi::CallbackInfo& info) {
  return submit(info, [batches = read<std::vector<TrainingBatch>>({"step", "batches"}, info[1]),
                       options = read<StepOptions>({"step", "options"}, info[2]),
                       next = info.Length() > 3 ? read<std::vector<TrainingBatch>>({"step", "next"}, info[3])
                                                : std::vector<TrainingBatch>()](api::Engine& engine,
                                                                                const std::atomic<bool>& cancelled) {
    return engine.step(batches, options, next, cancelled);
  });
}

Napi::Value EngineWrap::losses(const Napi::CallbackInfo& info) {
  return submit(info, [batch = read<TrainingBatch>({"losses", "batch"}, info[1]),
                       options = read<LossOptions>({"losses", "options"}, info[2])](
                          api::Engine& engine, const std::atomic<bool>& cancelled) {
    return engine.losses(batch, options, cancelled);
  });
}

Napi::Value EngineWrap::embed(const Napi::CallbackInfo& info) {
  return submit(info, [batch = read<PackedBatch>({"embed", "batch"}, info[1]),
                       pooling = read<Pooling>({"embed", "pooling"}, info[2]),
                       encoder = read<EncoderChoice>({"embed", "encoder"}, info[3]),
                       ends = read<std::vector<std::int32_t>>({"embed", "ends"}, info[4]),
                       layers = read<std::vector<std::int32_t>>({"embed", "layers"}, info[5])](
                          api::Engine& engine, const std::atomic<bool>& cancelled) {
    return engine.embed(batch, ends, pooling, encoder, layers, cancelled);
  });
}

Napi::Value EngineWrap::predict_latent(const Napi::CallbackInfo& info) {
  return submit(info,
                [states = read<std::vector<float>>({"predict latent", "states"}, info[1]),
                 days = read<std::vector<float>>({"predict latent", "daysAhead"}, info[2])](
                    api::Engine& engine, const std::atomic<bool>&) { return engine.predict_latent(states, days); });
}

Napi::Value EngineWrap::score(const Napi::CallbackInfo& info) {
  return submit(info, [batch = read<PackedBatch>({"score", "batch"}, info[1]),
                       with_hidden = read<bool>({"score", "withHidden"}, info[2])](api::Engine& engine,
                                                                                   const std::atomic<bool>& cancelled) {
    return engine.score(batch, with_hidden, cancelled);
  });
}

Napi::Value EngineWrap::trace(const Napi::CallbackInfo& info) {
  return submit(info, [batch = read<TrainingBatch>({"trace", "batch"}, info[1]),
                       options = read<LossOptions>({"trace", "options"}, info[2]),
                       path = read<std::string>({"trace", "path"}, info[3])](api::Engine& engine,
                                                                             const std::atomic<bool>& cancelled) {
    engine.trace(batch, options, path, cancelled);
  });
}

Napi::Value EngineWrap::save(const Napi::CallbackInfo& info) {
  return submit(
      info, [kind = read<StateKind>({"save", "kind"}, info[1]), path = read<std::string>({"save", "path"}, info[2]),
             options = read<SaveOptions>({"save", "options"}, info[3])](api::Engine& engine, const std::atomic<bool>&) {
        engine.save(kind, path, options);
      });
}

Napi::Value EngineWrap::load(const Napi::CallbackInfo& info) {
  return submit(info, [kind = read<StateKind>({"load", "kind"}, info[1]),
                       entries = read<std::vector<TensorEntry>>({"load", "entries"}, info[2]),
                       placement = read<Placement>({"load", "placement"}, info[3])](
                          api::Engine& engine, const std::atomic<bool>&) { engine.load(kind, entries, placement); });
}

Napi::Value EngineWrap::snapshot(const Napi::CallbackInfo& info) {
  return submit(info, [kinds = read<std::vector<StateKind>>({"snapshot", "kinds"}, info[1])](
                          api::Engine& engine, const std::atomic<bool>&) { return engine.snapshot(kinds); });
}

Napi::Value EngineWrap::parameter_count(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), parameter_count_);
}

void EngineWrap::cancel(const Napi::CallbackInfo& info) { worker_->cancel(job_id(info)); }

Napi::Value EngineWrap::close(const Napi::CallbackInfo& info) { return worker_->close(info.Env()); }

}  // namespace ehrjepa::bindings
