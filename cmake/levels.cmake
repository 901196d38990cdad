# Which instruction sets hot code is compiled for: DAGUERRE_LEVELS, or this machine's own where it is "". A level needs all of the CPU that
# it names; bindings/levels.go has the same table and chooses when a library is loaded. The first level is ggml's own archive ggml-cpu;
# each further one has an archive ggml-cpu-<level> (third_party/engine) and a library (the root's CMakeLists.txt). All else is shared.
# DAGUERRE_EXACT_FLAGS are for all other code: results do not depend on what the compiler fuses.
set(DAGUERRE_LEVELS "" CACHE STRING "'' for this CPU, or a list of avx2, avx512, bf16, amx; on arm64 of neon, dotprod, i8mm")

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(sets_avx2 SSE42 AVX AVX2 BMI2 FMA F16C)
    set(sets_avx512 ${sets_avx2} AVX512)
    set(sets_bf16 ${sets_avx512} AVX512_VBMI AVX512_VNNI AVX512_BF16)
    set(sets_amx ${sets_bf16} AMX_TILE AMX_INT8 AMX_BF16)
    set(flags_avx2 -msse4.2 -mavx -mavx2 -mbmi2 -mfma -mf16c)
    set(flags_avx512 ${flags_avx2} -mavx512f -mavx512cd -mavx512vl -mavx512dq -mavx512bw)
    set(flags_bf16 ${flags_avx512} -mavx512vbmi -mavx512vnni -mavx512bf16)
    set(flags_amx ${flags_bf16} -mamx-tile -mamx-int8 -mamx-bf16)
    set(known avx2 avx512 bf16 amx)
    set(native -march=native)
else()
    # Without fp16, with which ggml would sum products of F16 in F16. Zig's compiler has other words for the same.
    if(DAGUERRE_ZIG_TARGET)
        set(flags_neon -march=generic)
        set(flags_dotprod -march=generic+v8_2a+dotprod)
    else()
        set(flags_neon -march=armv8-a)
        set(flags_dotprod -march=armv8.2-a+dotprod)
    endif()
    set(flags_i8mm ${flags_dotprod}+i8mm)
    set(known neon dotprod i8mm)
    set(native -mcpu=native)
    set(DAGUERRE_EXACT_FLAGS -ffp-contract=off)  # x86-64's baseline has nothing to fuse with
endif()

foreach(level ${DAGUERRE_LEVELS})
    if(NOT level IN_LIST known)
        list(JOIN known ", " known)
        message(FATAL_ERROR "DAGUERRE_LEVELS: '${level}' is none of ${CMAKE_SYSTEM_PROCESSOR}'s levels, which are ${known}")
    endif()
endforeach()

# The flags of a level, or of this machine for "".
function(daguerre_arch_flags level result)
    if(level STREQUAL "")
        set(${result} ${native} PARENT_SCOPE)
    else()
        set(${result} ${flags_${level}} PARENT_SCOPE)
    endif()
endfunction()

# The first level, or "": what single builds are for.
set(DAGUERRE_LEVEL "")
if(DAGUERRE_LEVELS)
    list(GET DAGUERRE_LEVELS 0 DAGUERRE_LEVEL)
endif()
daguerre_arch_flags("${DAGUERRE_LEVEL}" DAGUERRE_ARCH_FLAGS)
