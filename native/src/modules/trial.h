// One layer by itself on a device, with random weights and inputs: to time ways of computing it, and to compare devices.
#pragma once

#include <cstddef>

#include "daguerre.h"

namespace dg {

// Returns the median time of a run in seconds; 0 without repeats. `values` may be NULL.
double run_trial(const dg_trial& trial, float* values, size_t count);

}  // namespace dg
