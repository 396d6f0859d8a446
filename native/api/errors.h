#pragma once
#include <exception>
#include <string>

namespace ehrjepa::api {

/// Whether a call ended because its flag was raised; the state is then as before the call.
bool is_cancellation(const std::exception& error);
/// Whether another rank is why a call ended.
bool is_of_ranks(const std::exception& error);
/// Whether a device's memory ran out.
bool is_out_of_memory(const std::exception& error);
/// The message of an exception without a C++ backtrace.
std::string message_of(const std::exception& error);

}  // namespace ehrjepa::api
