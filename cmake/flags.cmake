# Compiler settings that the engine's project (third_party/engine) and ours (the root) share.
# They must agree: both end up in one library.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

get_filename_component(DAGUERRE_ROOT "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)

if(NOT CMAKE_C_COMPILER_ID MATCHES "GNU|Clang" OR NOT CMAKE_SYSTEM_NAME MATCHES "^(Linux|Windows|Darwin)$")
    message(FATAL_ERROR "daguerre builds with GCC or Clang for Linux, Windows and macOS; found ${CMAKE_C_COMPILER_ID} "
                        "for ${CMAKE_SYSTEM_NAME}")
endif()
if(CMAKE_BUILD_TYPE STREQUAL "")
    set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O3 -DNDEBUG")
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")

option(DAGUERRE_ASAN "address sanitizer everywhere, undefined behaviour sanitizer on our own code" OFF)

# The engine's limit for tensor names; every file that sees ggml.h must agree on it.
add_compile_definitions(GGML_MAX_NAME=128)

# Exceptions thrown by the abort callback pass through the engine's C code. Sections let the
# linker drop what is not used. No absolute path ends up in the binary, so that builds of the
# same commit in two folders are equal and share a compiler cache.
add_compile_options(
    $<$<COMPILE_LANGUAGE:C,CXX>:-fexceptions>
    $<$<COMPILE_LANGUAGE:C,CXX>:-ffunction-sections>
    $<$<COMPILE_LANGUAGE:C,CXX>:-fdata-sections>
    $<$<COMPILE_LANGUAGE:C,CXX>:-fvisibility=hidden>
    $<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden>
    $<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${DAGUERRE_ROOT}/=>)

if(DAGUERRE_ASAN)
    add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=address>
                        $<$<COMPILE_LANGUAGE:C,CXX>:-fno-omit-frame-pointer>)
    set(CMAKE_C_FLAGS_RELEASE "-O1 -g1")
    set(CMAKE_CXX_FLAGS_RELEASE "-O1 -g1")
endif()

# ccache, where present, shared by all clones: paths below the clone are made relative, and the
# instruction sets behind -march=native are hashed through a file.
find_program(DAGUERRE_CCACHE ccache)
if(DAGUERRE_CCACHE)
    set(launcher "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${DAGUERRE_ROOT}" CCACHE_NOHASHDIR=1
        "CCACHE_EXTRAFILES=${CMAKE_BINARY_DIR}/cpu-macros.txt" "${DAGUERRE_CCACHE}")
    set(CMAKE_C_COMPILER_LAUNCHER "${launcher}")
    set(CMAKE_CXX_COMPILER_LAUNCHER "${launcher}")
    set(CMAKE_CUDA_COMPILER_LAUNCHER "${launcher}")
endif()

# Instruction sets: DAGUERRE_ARCH_FLAGS for hot code, DAGUERRE_CPU_FEATURES for people.
include("${CMAKE_CURRENT_LIST_DIR}/levels.cmake")
separate_arguments(target_flags UNIX_COMMAND "${CMAKE_C_COMPILER_ARG1}")
execute_process(COMMAND "${CMAKE_C_COMPILER}" ${target_flags} ${DAGUERRE_ARCH_FLAGS} -dM -E -x c /dev/null
                OUTPUT_VARIABLE macros RESULT_VARIABLE status ERROR_VARIABLE problem)
if(status)
    message(FATAL_ERROR "${CMAKE_C_COMPILER} cannot describe its target: ${problem}")
endif()
file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/cpu-macros.txt" CONTENT "${macros}" @ONLY)

# Names as in ggml's options; avx512 stands for F, CD, VL, DQ and BW together.
set(DAGUERRE_CPU_FEATURES "")
foreach(pair
        SSE4_2:sse42 AVX:avx AVX2:avx2 BMI2:bmi2 FMA:fma F16C:f16c AVXVNNI:avx_vnni AVX512BW:avx512
        AVX512VBMI:avx512_vbmi AVX512VNNI:avx512_vnni AVX512BF16:avx512_bf16 AMX_TILE:amx_tile
        AMX_INT8:amx_int8 AMX_BF16:amx_bf16 ARM_NEON:neon ARM_FEATURE_DOTPROD:dotprod
        ARM_FEATURE_FP16_VECTOR_ARITHMETIC:fp16 ARM_FEATURE_MATMUL_INT8:i8mm ARM_FEATURE_SVE:sve)
    string(REPLACE ":" ";" pair "${pair}")
    list(GET pair 0 macro)
    list(GET pair 1 name)
    if(macros MATCHES "#define __${macro}(__)? ")
        list(APPEND DAGUERRE_CPU_FEATURES ${name})
    endif()
endforeach()
