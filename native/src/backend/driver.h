// What ggml does not tell of a device: its driver, and the limits of single allocations.
#pragma once

#include <cstdint>
#include <string>

#include "ggml-backend.h"

namespace dg {

struct DriverInfo {
    std::string name;  // and version; empty if it is not known
    int64_t max_tensor_bytes = 0;  // the largest tensor that kernels can read or write; 0: memory is the limit
    int64_t max_buffer_bytes = 0;  // the largest single allocation; 0: memory is the limit
};

DriverInfo driver_of(ggml_backend_dev_t dev);

}  // namespace dg
