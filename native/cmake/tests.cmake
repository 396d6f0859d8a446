# The programs of tests and benchmarks, the doctor without Node among them. Paths are those of CMakeLists.txt.
enable_testing()
function(ehrjepa_core_headers target)
  target_include_directories(${target} PRIVATE native)
  target_include_directories(${target} SYSTEM PRIVATE ${TORCH_INCLUDE_DIRS})
endfunction()
# A program of the whole core.
function(ehrjepa_add_program target)
  add_executable(${target} ${ARGN})
  ehrjepa_core_headers(${target})
  ehrjepa_link_core(${target})
  target_compile_options(${target} PRIVATE ${OpenMP_CXX_FLAGS})
endfunction()
if(EHR_JEPA_CUDA)
  # Kernels, their calls and libtorch, without the engine: a minute to build. test/native/cuda-build.test.ts runs it. The
  # calls of attention and of the loss head are compiled, but need more of the engine than is linked here.
  add_executable(ehrjepa_cuda_load EXCLUDE_FROM_ALL
    test/native/cuda_load/main.cpp
    native/core/random.cpp
    native/memory/device.cpp
    native/memory/transfer.cpp
    native/ops/adamw/adamw.cpp
    native/ops/adamw/reference.cpp
    native/ops/norm_rotary/norm_rotary.cpp
    native/ops/norm_rotary/reference.cpp
    native/ops/references.cpp
    native/ops/rms_norm/reference.cpp
    native/ops/rms_norm/rms_norm.cpp
    native/ops/swiglu/reference.cpp
    native/ops/swiglu/swiglu.cpp
    $<FILTER:$<TARGET_OBJECTS:ehrjepa_cuda_calls>,EXCLUDE,attention|linear_cross_entropy>)
  ehrjepa_core_settings(ehrjepa_cuda_load)
  # A header that objects of a library precompiled is none for -fPIE, which programs are compiled with.
  target_compile_options(ehrjepa_cuda_load PRIVATE -fPIC)
  target_precompile_headers(ehrjepa_cuda_load REUSE_FROM ehrjepa_cuda_calls)
  # In the groups of the core.
  set_target_properties(ehrjepa_cuda_load PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  ehrjepa_link_libraries(ehrjepa_cuda_load)
endif()
# Two devices that are not there, on which the engine is tested; an addon with them, for the tests of TypeScript.
add_library(ehrjepa_pretend OBJECT
  test/native/pretend/counts.cpp
  test/native/pretend/device.cpp
  test/native/pretend/kernels.cpp
  test/native/pretend/memory.cpp
  test/native/pretend/run.cpp
  test/native/pretend/streams.cpp)
ehrjepa_core_headers(ehrjepa_pretend)
target_include_directories(ehrjepa_pretend PRIVATE test)
target_link_libraries(ehrjepa_pretend PRIVATE torch ehrjepa_warnings)
ehrjepa_compile_together(ehrjepa_pretend)
ehrjepa_add_addon(ehr_jepa_pretend test/native/pretend/addon.cpp $<TARGET_OBJECTS:ehrjepa_pretend>)
ehrjepa_core_headers(ehr_jepa_pretend)
target_include_directories(ehr_jepa_pretend PRIVATE test)

ehrjepa_add_program(ehrjepa_test
  test/native/main.cpp
  test/native/adamw_test.cpp
  test/native/attention_test.cpp
  test/native/attention_ways_test.cpp
  test/native/caching_allocator_test.cpp
  test/native/card/on_pretend_device.cpp
  test/native/card/ops_test.cpp
  test/native/card/training_test.cpp
  test/native/linear_cross_entropy_test.cpp
  test/native/linear_test.cpp
  test/native/solve_test.cpp
  test/native/survival_solve_test.cpp
  test/native/layout_test.cpp
  test/native/lora_test.cpp
  test/native/model_test.cpp
  test/native/objective_test.cpp
  test/native/packed_test.cpp
  test/native/predictor_test.cpp
  test/native/pretend_device_test.cpp
  test/native/pretend_streams_test.cpp
  test/native/pretend_training_test.cpp
  test/native/norm_rotary_test.cpp
  test/native/references_test.cpp
  test/native/rms_norm_test.cpp
  test/native/shard_sum_test.cpp
  test/native/step_test.cpp
  test/native/swiglu_test.cpp
  test/native/training_memory_test.cpp
  test/native/training_test.cpp)
target_include_directories(ehrjepa_test PRIVATE test)
target_sources(ehrjepa_test PRIVATE $<TARGET_OBJECTS:ehrjepa_simd_wide>
               $<TARGET_OBJECTS:ehrjepa_pairs_wide> $<TARGET_OBJECTS:ehrjepa_pretend>)
target_precompile_headers(ehrjepa_test PRIVATE native/precompiled.h)
ehrjepa_compile_together(ehrjepa_test)
add_test(NAME native COMMAND ehrjepa_test)

# The tests of a card on the card, where the pretend devices would stand before it.
if(EHR_JEPA_CUDA)
  ehrjepa_add_program(ehrjepa_card_test
    test/native/main.cpp
    test/native/card/on_cuda.cpp
    test/native/card/ops_test.cpp
    test/native/card/training_test.cpp)
  target_include_directories(ehrjepa_card_test PRIVATE test)
  target_include_directories(ehrjepa_card_test SYSTEM PRIVATE "${cuda_include}")
  target_precompile_headers(ehrjepa_card_test REUSE_FROM ehrjepa_test)
endif()

# The CUDA kernels once more, as C++ for the host: their results and their accesses are tested where there is no GPU.
# The sanitizers' calls go to test/native/host_cuda, which is why nothing of a sanitizer is linked.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND NOT EHR_JEPA_CUDA AND NOT EHR_JEPA_SANITIZE)
  set(emulated_kernels ${ehrjepa_kernel_sources} test/native/emulated/faulty_kernels.cu)
  set_source_files_properties(${emulated_kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS
    "-xc++;-Wno-unknown-pragmas;-fno-strict-aliasing;-ffp-contract=off;-O2;-fsanitize=thread,alignment,bounds")
  add_library(ehrjepa_host_kernels OBJECT EXCLUDE_FROM_ALL ${emulated_kernels})
  target_include_directories(ehrjepa_host_kernels PRIVATE native test test/native/host_cuda)
  target_link_libraries(ehrjepa_host_kernels PRIVATE ehrjepa_warnings)
  ehrjepa_add_program(ehrjepa_emulated_test
    test/native/main.cpp
    test/native/emulated/adamw_test.cpp
    test/native/emulated/attention_merge_test.cpp
    test/native/emulated/attention_test.cpp
    test/native/emulated/emulator_test.cpp
    test/native/emulated/norm_rotary_test.cpp
    test/native/emulated/rms_norm_test.cpp
    test/native/emulated/softmax_gradient_test.cpp
    test/native/emulated/swiglu_test.cpp
    test/native/host_cuda/async_copies.cpp
    test/native/host_cuda/banks.cpp
    test/native/host_cuda/hooks.cpp
    test/native/host_cuda/memory.cpp
    test/native/host_cuda/scheduler.cpp
    test/native/host_cuda/tensor_cores.cpp
    test/native/host_cuda/warp.cpp)
  target_include_directories(ehrjepa_emulated_test PRIVATE test test/native/host_cuda)
  target_sources(ehrjepa_emulated_test PRIVATE $<TARGET_OBJECTS:ehrjepa_host_kernels>)
  target_precompile_headers(ehrjepa_emulated_test REUSE_FROM ehrjepa_test)
  ehrjepa_compile_together(ehrjepa_emulated_test)
endif()

# The checks of ops without Node: scripts/gpu-check.sh.
ehrjepa_add_program(ehrjepa_doctor native/doctor/main.cpp)

ehrjepa_add_program(ehrjepa_bench
  bench/native/main.cpp
  bench/native/adamw.cpp
  bench/native/attention.cpp
  bench/native/differentiable.cpp
  bench/native/linear.cpp
  bench/native/linear_cross_entropy.cpp
  bench/native/rms_norm.cpp
  bench/native/norm_rotary.cpp
  bench/native/swiglu.cpp
  bench/native/train_step.cpp)
target_include_directories(ehrjepa_bench PRIVATE test bench)
target_precompile_headers(ehrjepa_bench REUSE_FROM ehrjepa_test)
ehrjepa_compile_together(ehrjepa_bench)
# Test and benchmark code only calls: it gains nothing from more, and compiles faster.
foreach(target ehrjepa_test ehrjepa_card_test ehrjepa_emulated_test ehrjepa_bench ehrjepa_pretend)
  if(TARGET ${target})
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
endforeach()
