#include "ops/references.h"

namespace ehrjepa::ops {
namespace {

thread_local bool in_use = false;

}  // namespace

UseReferences::UseReferences() : before_(in_use) { in_use = true; }
UseReferences::~UseReferences() { in_use = before_; }

bool references_in_use() { return in_use; }

}  // namespace ehrjepa::ops
