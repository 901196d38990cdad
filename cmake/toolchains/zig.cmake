# Zig's clang as a cross compiler, with the C library of DAGUERRE_ZIG_TARGET; cmake/build/zig.sh installs it. The file of each target
# beside this one includes it. The number after gnu in a target is the oldest glibc that the result runs with.
file(READ "${CMAKE_CURRENT_LIST_DIR}/zig-version" version)
string(STRIP "${version}" version)
set(tools "${CMAKE_CURRENT_LIST_DIR}/../../build/tools/zig-${version}/bin")

# The target is an argument of the compiler, so that CMake's own tests have it too.
set(CMAKE_C_COMPILER "${tools}/zig" cc -target ${DAGUERRE_ZIG_TARGET})
set(CMAKE_CXX_COMPILER "${tools}/zig" c++ -target ${DAGUERRE_ZIG_TARGET})
set(CMAKE_AR "${tools}/zig-ar")
set(CMAKE_RANLIB "${tools}/zig-ranlib")

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
