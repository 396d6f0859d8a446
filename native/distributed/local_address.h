#pragma once
#include <string>

namespace ehrjepa::distributed {

/// Name of this machine.
std::string host_name();

/// Number of this machine from which another one is reached; empty when the name resolves to none, or there is no way.
std::string address_towards(const std::string& host);

/// Whether a numeric address is of this machine alone.
bool is_loopback(const std::string& address);

}  // namespace ehrjepa::distributed
