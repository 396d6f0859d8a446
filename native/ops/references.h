#pragma once

namespace ehrjepa::ops {

/// While one lives, every op that its thread calls is computed by its reference: what tests compare whole models with.
class UseReferences {
 public:
  UseReferences();
  ~UseReferences();
  UseReferences(const UseReferences&) = delete;
  UseReferences& operator=(const UseReferences&) = delete;

 private:
  bool before_;
};

/// True while this thread holds a `UseReferences`.
bool references_in_use();

}  // namespace ehrjepa::ops
