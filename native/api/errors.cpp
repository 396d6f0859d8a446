#include "api/errors.h"

#include <c10/util/Exception.h>

#include "core/rank_error.h"

namespace ehrjepa::api {

bool is_cancellation(const std::exception& error) { return dynamic_cast<const Cancelled*>(&error) != nullptr; }

bool is_of_ranks(const std::exception& error) { return dynamic_cast<const RankError*>(&error) != nullptr; }

bool is_out_of_memory(const std::exception& error) {
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr;
}

std::string message_of(const std::exception& error) {
  if (const auto* torch_error = dynamic_cast<const c10::Error*>(&error)) return torch_error->what_without_backtrace();
  return error.what();
}

}  // namespace ehrjepa::api
