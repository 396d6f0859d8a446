# Compiles kernels by commands of our own: CMake's CUDA language does not know C++20 with nvcc 13 before 3.26. No libtorch
# is on the include path. A binary for each architecture; PTX of the oldest for cards that none of them fits, and of the
# newest for cards to come.
function(ehrjepa_add_kernels target sources)
  set(codes "")
  list(GET cuda_architectures 0 oldest)
  list(GET cuda_architectures -1 newest)
  foreach(architecture IN LISTS cuda_architectures)
    set(code "sm_${architecture}")
    if(architecture STREQUAL oldest OR architecture STREQUAL newest)
      string(APPEND code ",compute_${architecture}")
    endif()
    list(APPEND codes "-gencode=arch=compute_${architecture},code=[${code}]")
  endforeach()
  # As for C++: of the nvcc that CI has.
  set(warnings "")
  if(cuda_version VERSION_EQUAL 13.0 AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    set(warnings -Werror=all-warnings)
  endif()
  set(objects "")
  foreach(source IN LISTS sources)
    string(MAKE_C_IDENTIFIER "${source}" name)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/kernels/${name}.o")
    add_custom_command(OUTPUT "${object}"
      COMMAND "${CMAKE_COMMAND}" -E make_directory "${CMAKE_CURRENT_BINARY_DIR}/kernels"
      COMMAND "${EHR_JEPA_NVCC}" -ccbin "${cuda_host_compiler}" -std=c++20 -O3 -lineinfo ${codes}
              -Xcompiler=-fPIC,-fvisibility=hidden ${warnings} "-I${CMAKE_CURRENT_SOURCE_DIR}/native"
              -MD -MF "${object}.d" -c "${CMAKE_CURRENT_SOURCE_DIR}/${source}" -o "${object}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${source}" DEPFILE "${object}.d" VERBATIM
      COMMENT "Building CUDA object ${source}")
    list(APPEND objects "${object}")
  endforeach()
  set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  add_custom_target(${target} DEPENDS ${objects})
  set_target_properties(${target} PROPERTIES KERNEL_OBJECTS "${objects}")
endfunction()
