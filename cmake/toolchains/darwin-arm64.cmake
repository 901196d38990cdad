set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(DAGUERRE_ZIG_TARGET aarch64-macos.12.0)
include("${CMAKE_CURRENT_LIST_DIR}/zig.cmake")
# CMake wants this tool for Apple's systems. It is for `cmake --install`, which nothing here calls.
set(CMAKE_INSTALL_NAME_TOOL install_name_tool)
# A library's own name, which is in it, has no folder of this machine. (Zig's linker does not know -exported_symbols_list, which
# cmake/link.cmake gives it. What is hidden stays hidden, and tools/exports checks that.)
set(CMAKE_INSTALL_NAME_DIR "@rpath")
set(CMAKE_BUILD_WITH_INSTALL_NAME_DIR ON)
