set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(DAGUERRE_ZIG_TARGET aarch64-linux-gnu.2.28)
include("${CMAKE_CURRENT_LIST_DIR}/zig.cmake")
# A library of a release has no path of the machine that built it: the system finds what it needs.
set(CMAKE_SKIP_RPATH ON CACHE BOOL "" FORCE)
