#if !defined(_WIN32)

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "base/error.h"
#include "base/host.h"

namespace dg {

#if defined(__linux__)

bool host_memory(int64_t* free_bytes, int64_t* total_bytes) {
    std::ifstream meminfo("/proc/meminfo");
    std::string key, unit;
    int64_t kib;
    while (meminfo >> key >> kib >> unit) {
        if (key == "MemTotal:") {
            *total_bytes = kib * 1024;
        } else if (key == "MemAvailable:") {
            *free_bytes = kib * 1024;
            return true;
        }
    }
    return false;
}

int32_t host_cores() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return 0;
    }
    std::set<std::pair<int, int>> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set)) {
            continue;
        }
        const std::string base = format("/sys/devices/system/cpu/cpu%d/topology/", cpu);
        std::ifstream package(base + "physical_package_id"), core(base + "core_id");
        int p = -1, c = -1;
        if (package >> p && core >> c) {
            cores.insert({p, c});
        }
    }
    const int32_t allowed = CPU_COUNT(&set);
    return cores.empty() ? allowed : std::min(allowed, static_cast<int32_t>(cores.size()));
}

#else

bool host_memory(int64_t*, int64_t*) {
    return false;
}

int32_t host_cores() {
#if defined(__APPLE__)
    // Threads share nodes out evenly and wait for each other, so that cores of two speeds run at the slower one's: the fast ones only.
    for (const char* name : {"hw.perflevel0.physicalcpu", "hw.physicalcpu"}) {
        int32_t cores = 0;
        size_t size   = sizeof cores;
        if (sysctlbyname(name, &cores, &size, nullptr, 0) == 0 && cores > 0) {
            return cores;
        }
    }
#endif
    return 0;
}

#endif

}  // namespace dg

#endif
