#pragma once
#include <cstdint>

#include "contract/fields.h"

namespace ehrjepa {

/// Bytes that a rank has given to gloo for others, and got of them.
struct Bytes {
  std::int64_t sent = 0;
  std::int64_t received = 0;

  Bytes& operator+=(const Bytes& other) {
    sent += other.sent;
    received += other.received;
    return *this;
  }
};
template <>
struct Fields<Bytes> {
  static constexpr auto list = std::tuple(field("sent", &Bytes::sent), field("received", &Bytes::received));
};

/// The same by the collective that they travelled in. Without the headers of messages.
struct Traffic {
  Bytes gather;  ///< a ring
  Bytes swap;    ///< straight to each rank
  Bytes spread;  ///< a binomial tree from the rank that has it
  Bytes staged;  ///< of these, of tensors of a device, which were copied to the host and back: gloo knows no other
};
template <>
struct Fields<Traffic> {
  static constexpr auto list = std::tuple(field("gather", &Traffic::gather), field("swap", &Traffic::swap),
                                          field("spread", &Traffic::spread), field("staged", &Traffic::staged));
};

}  // namespace ehrjepa
