#pragma once

namespace ehrjepa {

/// Lets glibc keep what tensors free instead of giving it back after each op: a step frees and takes the same gigabytes
/// over and over, and the page faults of that were a sixth of its time. Done once; nothing outside glibc.
void keep_freed_memory();

}  // namespace ehrjepa
