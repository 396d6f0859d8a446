#include "core/memory.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <mutex>

namespace ehrjepa {

void keep_freed_memory() {
#ifdef __GLIBC__
  static std::once_flag once;
  std::call_once(once, [] {
    // The largest threshold that glibc takes. Larger tensors are mapped and unmapped each time, as ever.
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, 64 << 20);
  });
#endif
}

}  // namespace ehrjepa
