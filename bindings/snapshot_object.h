#pragma once
#include <napi.h>

#include <memory>

#include "api/engine.h"

namespace ehrjepa::bindings {

/// `NativeSnapshot` of lib/native.ts: `write(kind, path, metadata)`, on a thread of its own; the memory is freed with
/// the object, or by `release()`.
Napi::Object snapshot_object(Napi::Env env, std::shared_ptr<api::Snapshot> snapshot);

}  // namespace ehrjepa::bindings
