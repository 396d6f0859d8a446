#pragma once
#include <napi.h>

namespace ehrjepa::bindings {

/// `contract()` of lib/native.ts: every struct that crosses the border as data, from the same field lists and tables of
/// names that convert them. A test compares it with the types of lib/native.ts.
Napi::Value contract_object(const Napi::CallbackInfo& info);

}  // namespace ehrjepa::bindings
