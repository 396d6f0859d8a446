#include "native/pretend/kernels.h"

#include "native/pretend/run.h"

namespace pretend {

OwnKernels::OwnKernels()
    : library_(std::make_unique<torch::Library>(torch::Library::IMPL, "ehrjepa", c10::DispatchKey::PrivateUse1,
                                                __FILE__, __LINE__)) {
  for (const char* const function : own_functions) {
    library_->impl(function, torch::CppFunction::makeFromBoxedFunction<&run>());
  }
}

}  // namespace pretend
