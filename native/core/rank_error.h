#pragma once
#include "core/error.h"

namespace ehrjepa {

/// Another rank is missing, dead, silent or at odds with this one; the message names it.
struct RankError : Error {
  using Error::Error;
};

}  // namespace ehrjepa
