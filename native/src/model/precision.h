// Chooses arithmetic and weight types from what the caller asked for and what the device does well.
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

// Types of one component's weights; `type` is DG_TYPE_*, AUTO for what the precision implies.
TypePolicy choose_types(const PrecisionChoice& choice, int32_t type, const Device& device);

}  // namespace dg
