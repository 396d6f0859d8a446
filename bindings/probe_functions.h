#pragma once
#include <napi.h>

namespace ehrjepa::bindings {

/// Adds fitLogistic and fitRidge of lib/native.ts.
void register_probe_functions(Napi::Env env, Napi::Object exports);

}  // namespace ehrjepa::bindings
