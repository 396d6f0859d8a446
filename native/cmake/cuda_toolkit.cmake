# nvcc and what belongs to it, found by asking nvcc itself: it may be a script outside its toolkit, a link, part of
# a toolkit put together from nvidia-* wheels, or a package of the distribution that spreads its files.

# Sets EHR_JEPA_NVCC (cache), cuda_include (folder of cuda_runtime_api.h), cuda_version, cuda_architectures (those of
# cuda_architectures.txt that this nvcc knows) and cuda_host_compiler.
macro(ehrjepa_find_nvcc libtorch)
  if(NOT "$ENV{CUDACXX}" STREQUAL "")
    find_program(EHR_JEPA_NVCC NAMES "$ENV{CUDACXX}" DOC "nvcc")
  else()
    file(GLOB nvcc_of_wheels "${libtorch}/../nvidia/*/bin")
    find_program(EHR_JEPA_NVCC NAMES nvcc DOC "nvcc"
      HINTS "$ENV{CUDA_HOME}/bin" "$ENV{CUDA_PATH}/bin" PATHS ${nvcc_of_wheels} /usr/local/cuda/bin)
  endif()
  if(NOT EHR_JEPA_NVCC)
    message(FATAL_ERROR "[build] EHR_JEPA_CUDA=ON needs nvcc but none was found (CUDACXX is '$ENV{CUDACXX}'; without it "
                        "CUDA_HOME, CUDA_PATH, PATH, nvidia-* wheels beside ${libtorch} and /usr/local/cuda count)")
  endif()
  # nvcc looks for its parts beside the path it is called by. Where a link leads to something else, to ccache, it stays.
  get_filename_component(nvcc_itself "${EHR_JEPA_NVCC}" REALPATH)
  if(nvcc_itself MATCHES "/nvcc$")
    set(EHR_JEPA_NVCC "${nvcc_itself}" CACHE FILEPATH "nvcc" FORCE)
  endif()
  if(DEFINED ENV{CUDAHOSTCXX})
    set(cuda_host_compiler "$ENV{CUDAHOSTCXX}")
  else()
    set(cuda_host_compiler "${CMAKE_CXX_COMPILER}")
  endif()

  # Tries the host compiler, the compiler's own parts and the headers in one go, and tells where these are.
  set(probe "${CMAKE_CURRENT_BINARY_DIR}/nvcc_probe.cu")
  file(WRITE "${probe}" "#include <cuda_bf16.h>\n__global__ void probe(float* x) { *x = 1; }\n")
  execute_process(COMMAND "${EHR_JEPA_NVCC}" -ccbin "${cuda_host_compiler}" -std=c++20 -M "${probe}"
    OUTPUT_VARIABLE probe_files ERROR_VARIABLE probe_errors RESULT_VARIABLE probe_result)
  if(NOT probe_result EQUAL 0 OR NOT probe_files MATCHES "((\\\\.|[^ \n\\\\])+)/cuda_runtime_api\\.h")
    message(FATAL_ERROR "[build] ${EHR_JEPA_NVCC} must compile for the host with ${cuda_host_compiler} but does not "
                        "(CUDAHOSTCXX names another host compiler; a toolkit made of wheels needs nvidia-cuda-nvcc, "
                        "-crt, -runtime, -cccl and nvidia-nvvm):\n${probe_errors}")
  endif()
  string(REGEX REPLACE "\\\\(.)" "\\1" cuda_include "${CMAKE_MATCH_1}")
  get_filename_component(cuda_include "${cuda_include}" ABSOLUTE)

  execute_process(COMMAND "${EHR_JEPA_NVCC}" --version OUTPUT_VARIABLE nvcc_text)
  string(REGEX MATCH "release ([0-9]+)\\.([0-9]+)" cuda_version "${nvcc_text}")
  set(cuda_version "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
  set(cuda_major "${CMAKE_MATCH_1}")

  execute_process(COMMAND "${EHR_JEPA_NVCC}" --list-gpu-code OUTPUT_VARIABLE known_architectures)
  file(STRINGS "${CMAKE_CURRENT_SOURCE_DIR}/native/cmake/cuda_architectures.txt" wanted_architectures)
  if(NOT EHR_JEPA_CUDA_ARCHITECTURES STREQUAL "")
    set(wanted_architectures ${EHR_JEPA_CUDA_ARCHITECTURES})
  endif()
  set(cuda_architectures "")
  foreach(architecture IN LISTS wanted_architectures)
    string(REGEX MATCH "^[0-9]+" number "${architecture}")
    if(known_architectures MATCHES "sm_${number}[^0-9]")
      list(APPEND cuda_architectures "${architecture}")
    else()
      message(STATUS "nvcc ${cuda_version} does not know sm_${architecture}: left out")
    endif()
  endforeach()
endmacro()

# Sets cuda_runtime: the file of the CUDA runtime, the one beside libtorch first, so that the process has one.
macro(ehrjepa_find_cuda_runtime libtorch name)
  string(REGEX REPLACE ".*\\.so\\.([0-9]+).*" "\\1" runtime_major "${name}")
  if(NOT cuda_major STREQUAL runtime_major)
    message(FATAL_ERROR "[build] nvcc must be of the CUDA ${runtime_major} that libtorch in ${libtorch} is built for "
                        "but ${EHR_JEPA_NVCC} is of ${cuda_version}; CUDACXX or CUDA_HOME names another")
  endif()
  # One at a time: file(GLOB) sorts what all its patterns find by name.
  foreach(pattern IN ITEMS
      "${libtorch}/lib/${name}" "${libtorch}/../nvidia/*/lib/${name}"
      "${cuda_include}/../lib64/${name}" "${cuda_include}/../lib/${name}" "${cuda_include}/../targets/*/lib/${name}"
      "${libtorch}/../../../${name}")
    file(GLOB cuda_runtimes "${pattern}")
    if(cuda_runtimes)
      break()
    endif()
  endforeach()
  if(NOT cuda_runtimes)
    find_library(EHR_JEPA_CUDART NAMES "${name}" cudart DOC "CUDA runtime")
    set(cuda_runtimes ${EHR_JEPA_CUDART})
  endif()
  if(NOT cuda_runtimes)
    message(FATAL_ERROR "[build] ${name} must be beside libtorch (nvidia-cuda-runtime) or in the toolkit of "
                        "${EHR_JEPA_NVCC} but is in neither")
  endif()
  list(GET cuda_runtimes 0 cuda_runtime)
endmacro()
