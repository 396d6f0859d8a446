#pragma once
#include <chrono>

// libtorch ships ProcessGroupGloo.hpp without the headers of gloo that it includes. These stand in for them: what that
// header names, and no more. Only pointers to these types are ever held here.
namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
