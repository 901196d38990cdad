// Chooses arithmetic and weight types: from the caller's wish, and from what the device computes fast.
#pragma once

#include <cstdint>
#include <string>

#include "backend/device.h"
#include "model/params.h"

namespace dg {

struct PrecisionChoice {
    int32_t precision;  // DG_PRECISION_*, never AUTO
    std::string reason;
};

PrecisionChoice choose_precision(int32_t asked, const Device& device);

// The types of one component's weights. `type` is DG_TYPE_*; AUTO means the usual type of the precision.
TypePolicy choose_types(const PrecisionChoice& choice, int32_t type, const Device& device);

}  // namespace dg
