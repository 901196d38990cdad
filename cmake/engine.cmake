# Target daguerre_engine: the archives that third_party/engine built, their headers (as system
# headers: warnings in them are not ours) and what the variant's backend links. Each level has such a target:
# daguerre_link_engine(target level) links it.

set(further_levels ${DAGUERRE_LEVELS})
list(REMOVE_ITEM further_levels "${DAGUERRE_LEVEL}")
list(TRANSFORM further_levels PREPEND ggml-cpu- OUTPUT_VARIABLE further_archives)
foreach(archive daguerre_engine ggml ggml-cpu ${further_archives} ggml-base)
    if(NOT EXISTS "${DAGUERRE_ENGINE_LIB_DIR}/lib${archive}.a")
        message(FATAL_ERROR "DAGUERRE_ENGINE_LIB_DIR='${DAGUERRE_ENGINE_LIB_DIR}' holds no "
                            "lib${archive}.a; run ./build.sh ${DAGUERRE_VARIANT}")
    endif()
endforeach()
if(NOT EXISTS "${DAGUERRE_GGML_DIR}/include/ggml.h")
    message(FATAL_ERROR "DAGUERRE_GGML_DIR='${DAGUERRE_GGML_DIR}' holds no include/ggml.h")
endif()

find_package(Threads REQUIRED)
set(backend "")
set(system Threads::Threads ${CMAKE_DL_LIBS})
if(NOT WIN32)
    list(APPEND system m)
endif()
add_library(daguerre_engine INTERFACE)
target_compile_definitions(daguerre_engine INTERFACE GGML_USE_CPU)
target_include_directories(daguerre_engine SYSTEM INTERFACE
    "${PROJECT_SOURCE_DIR}/third_party/engine"
    "${DAGUERRE_GGML_DIR}/include"
    "${DAGUERRE_GGML_DIR}/src")
if(DAGUERRE_VARIANT STREQUAL "vulkan")
    find_package(Vulkan REQUIRED)
    set(backend ggml-vulkan)
    list(APPEND system "${Vulkan_LIBRARIES}")
    target_compile_definitions(daguerre_engine INTERFACE GGML_USE_VULKAN)
    target_include_directories(daguerre_engine SYSTEM INTERFACE "${Vulkan_INCLUDE_DIRS}")
elseif(DAGUERRE_VARIANT STREQUAL "cuda")
    find_package(CUDAToolkit REQUIRED)
    set(backend ggml-cuda)
    list(APPEND system CUDA::cudart CUDA::cublas)
    target_compile_definitions(daguerre_engine INTERFACE GGML_USE_CUDA)
    target_include_directories(daguerre_engine SYSTEM INTERFACE "${CUDAToolkit_INCLUDE_DIRS}")
endif()

# Links the engine's archives, with the CPU backend of a level ("" or the first: ggml's own), into a library or program.
function(daguerre_link_engine target level)
    set(cpu ggml-cpu)
    if("ggml-cpu-${level}" IN_LIST further_archives)
        set(cpu ggml-cpu-${level})
    endif()
    set(archives daguerre_engine ggml ${cpu} ${backend} ggml-base)
    list(TRANSFORM archives REPLACE "(.+)" "${DAGUERRE_ENGINE_LIB_DIR}/lib\\1.a")
    # The archives are inputs of a build like any source: relink when they change.
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${archives})
    if(NOT APPLE)  # whose linker looks into archives as often as it must
        set(archives -Wl,--start-group ${archives} -Wl,--end-group)
    endif()
    target_link_libraries(${target} PRIVATE daguerre_engine ${archives} ${system})
endfunction()
