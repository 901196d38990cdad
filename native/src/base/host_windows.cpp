#if defined(_WIN32)

#include <algorithm>
#include <vector>

#include "base/host.h"
#include "base/windows.h"

namespace dg {

// Windows gives out no memory that it has not: beside free memory, what may still be committed is a limit.
bool host_memory(int64_t* free_bytes, int64_t* total_bytes) {
    MEMORYSTATUSEX status = {};
    status.dwLength       = sizeof(status);
    if (GlobalMemoryStatusEx(&status) == 0) {
        return false;
    }
    *total_bytes = static_cast<int64_t>(status.ullTotalPhys);
    *free_bytes  = static_cast<int64_t>(std::min(status.ullAvailPhys, status.ullAvailPageFile));
    return true;
}

// Counts the cores of all processor groups. Where the process may not use some processors of its group, only those of the group that
// it may use count: a process with such a mask runs in one group.
int32_t host_cores() {
    DWORD bytes = 0;
    GetLogicalProcessorInformationEx(RelationProcessorCore, nullptr, &bytes);
    std::vector<char> buffer(bytes);
    const auto at = [&](DWORD offset) {
        return reinterpret_cast<SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX*>(buffer.data() + offset);
    };
    if (bytes == 0 || GetLogicalProcessorInformationEx(RelationProcessorCore, at(0), &bytes) == 0) {
        return 0;
    }
    DWORD_PTR process = 0, system = 0;
    const bool known   = GetProcessAffinityMask(GetCurrentProcess(), &process, &system) != 0;
    const bool limited = known && process != 0 && process != system;
    GROUP_AFFINITY own = {};
    if (limited && GetThreadGroupAffinity(GetCurrentThread(), &own) == 0) {
        own.Group = 0;
    }
    int32_t cores = 0;
    for (DWORD offset = 0; offset < bytes; offset += at(offset)->Size) {
        const PROCESSOR_RELATIONSHIP& core = at(offset)->Processor;
        bool usable                        = false;
        for (WORD group = 0; group < core.GroupCount; group++) {
            const GROUP_AFFINITY& mask = core.GroupMask[group];
            usable |= !limited || (mask.Group == own.Group && (mask.Mask & process) != 0);
        }
        cores += usable ? 1 : 0;
    }
    return cores;
}

}  // namespace dg

#endif
