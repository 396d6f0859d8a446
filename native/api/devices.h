#pragma once
#include "contract/devices.h"

namespace ehrjepa::api {

/// What `cuda` comes to in this build on this machine.
Devices devices();

}  // namespace ehrjepa::api
