#include "api/devices.h"

#include "memory/device.h"

namespace ehrjepa::api {

Devices devices() { return memory::devices(); }

}  // namespace ehrjepa::api
