# Target daguerre_engine: the archives that third_party/engine built, their headers (as system
# headers: warnings in them are not ours) and what the variant's backend links.

foreach(archive daguerre_engine ggml ggml-cpu ggml-base)
    if(NOT EXISTS "${DAGUERRE_ENGINE_LIB_DIR}/lib${archive}.a")
        message(FATAL_ERROR "DAGUERRE_ENGINE_LIB_DIR='${DAGUERRE_ENGINE_LIB_DIR}' holds no "
                            "lib${archive}.a; run ./build.sh ${DAGUERRE_VARIANT}")
    endif()
endforeach()
if(NOT EXISTS "${DAGUERRE_GGML_DIR}/include/ggml.h")
    message(FATAL_ERROR "DAGUERRE_GGML_DIR='${DAGUERRE_GGML_DIR}' holds no include/ggml.h")
endif()

find_package(Threads REQUIRED)
set(archives daguerre_engine ggml ggml-cpu)
set(system Threads::Threads ${CMAKE_DL_LIBS})
if(NOT WIN32)
    list(APPEND system m)
endif()
if(DAGUERRE_VARIANT STREQUAL "vulkan")
    find_package(Vulkan REQUIRED)
    list(APPEND archives ggml-vulkan)
    list(APPEND system "${Vulkan_LIBRARIES}")
elseif(DAGUERRE_VARIANT STREQUAL "cuda")
    find_package(CUDAToolkit REQUIRED)
    list(APPEND archives ggml-cuda)
    list(APPEND system CUDA::cudart CUDA::cublas)
endif()
list(APPEND archives ggml-base)
list(TRANSFORM archives REPLACE "(.+)" "${DAGUERRE_ENGINE_LIB_DIR}/lib\\1.a")

add_library(daguerre_engine INTERFACE)
target_include_directories(daguerre_engine SYSTEM INTERFACE
    "${PROJECT_SOURCE_DIR}/third_party/engine"
    "${DAGUERRE_GGML_DIR}/include"
    "${DAGUERRE_GGML_DIR}/src")
if(NOT APPLE)  # whose linker looks into archives as often as it must
    set(archives -Wl,--start-group ${archives} -Wl,--end-group)
endif()
target_link_libraries(daguerre_engine INTERFACE ${archives} ${system})
if(DAGUERRE_VARIANT STREQUAL "vulkan")
    target_compile_definitions(daguerre_engine INTERFACE GGML_USE_VULKAN)
elseif(DAGUERRE_VARIANT STREQUAL "cuda")
    target_compile_definitions(daguerre_engine INTERFACE GGML_USE_CUDA)
endif()
target_compile_definitions(daguerre_engine INTERFACE GGML_USE_CPU)

# The archives are inputs of a build like any source: relink when they change.
list(FILTER archives EXCLUDE REGEX "^-Wl")
set_property(TARGET daguerre_engine PROPERTY INTERFACE_LINK_DEPENDS "${archives}")
