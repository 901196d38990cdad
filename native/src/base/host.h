// What the operating system tells about the machine.
#pragma once

#include <cstdint>

namespace dg {

// The machine's memory, and what a program may take of it now. False where the system does not tell.
bool host_memory(int64_t* free_bytes, int64_t* total_bytes);

// The processor cores that this process may run on: a core with two threads counts once. 0 where the system does not tell.
int32_t host_cores();

}  // namespace dg
