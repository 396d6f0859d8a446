#pragma once
#include "contract/build_info.h"

namespace ehrjepa::api {

BuildInfo build_info();

}  // namespace ehrjepa::api
