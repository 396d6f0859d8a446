#pragma once
#include <stdexcept>
#include <string>

namespace ehrjepa {

/// An argument breaks a rule. The message has the form `[scope] argument rule but found; fix`.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The caller cancelled the work; the state is as before the call.
struct Cancelled : Error {
  Cancelled() : Error("[engine] the call was cancelled") {}
};

}  // namespace ehrjepa
