# The target `torch` of a CUDA libtorch, imported by hand. Torch's own package looks for the toolkit with CMake modules
# that newer CMakes no longer have, wants a language standard for CUDA that CMake 3.25 does not know, and runs a program
# to look for cards; the libraries and headers are all that is needed of it.

# Sets Torch_VERSION, TORCH_INSTALL_PREFIX, TORCH_INCLUDE_DIRS as Torch's package does, and torch_cudart: the file name
# of the CUDA runtime that libtorch loads (libcudart.so.13).
macro(ehrjepa_import_cuda_libtorch folder)
  set(TORCH_INSTALL_PREFIX "${folder}")
  set(TORCH_INCLUDE_DIRS "${folder}/include" "${folder}/include/torch/csrc/api/include")
  foreach(part include/torch/headeronly/version.h lib/libtorch.so lib/libtorch_cpu.so lib/libtorch_cuda.so lib/libc10.so
               lib/libc10_cuda.so)
    if(NOT EXISTS "${folder}/${part}")
      message(FATAL_ERROR "[build] EHR_JEPA_LIBTORCH must be a CUDA build of libtorch but ${folder} has no ${part}")
    endif()
  endforeach()

  file(STRINGS "${folder}/include/torch/headeronly/version.h" version_lines REGEX "TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]")
  string(REGEX REPLACE "[^;]*TORCH_VERSION_[A-Z]+ ([0-9]+)[^;]*" "\\1" Torch_VERSION "${version_lines}")
  string(REPLACE ";" "." Torch_VERSION "${Torch_VERSION}")

  # By the name it is loaded by: archives give the file a hash (libcudart-d0da41ae.so.13).
  file(STRINGS "${folder}/lib/libc10_cuda.so" cudart_names REGEX "^libcudart[-0-9a-f]*\\.so\\.[0-9.]+$")
  list(GET cudart_names 0 torch_cudart)

  foreach(library c10 c10_cuda torch_cpu torch_cuda)
    add_library(ehrjepa_import_${library} SHARED IMPORTED)
    set_target_properties(ehrjepa_import_${library} PROPERTIES
      IMPORTED_LOCATION "${folder}/lib/lib${library}.so" INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${TORCH_INCLUDE_DIRS}")
  endforeach()
  add_library(torch INTERFACE IMPORTED)
  # torch_cpu and torch_cuda register their kernels when they are loaded, and few or none of their symbols are named here.
  target_link_libraries(torch INTERFACE
    -Wl,--no-as-needed ehrjepa_import_torch_cuda ehrjepa_import_torch_cpu -Wl,--as-needed
    ehrjepa_import_c10_cuda ehrjepa_import_c10)
  # What libtorch_cuda needs in turn is found when it is loaded; an executable can be linked where some of it is missing.
  target_link_options(torch INTERFACE -Wl,--allow-shlib-undefined)
endmacro()
