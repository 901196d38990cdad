// Conversion of weights between float32 and the ABI's types, for files that are written.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dg {

// All throw DG_ERR_ARGUMENT on a type, size or value that cannot be converted.

size_t row_bytes(int32_t type, int64_t columns);

void quantize(int32_t type, const float* values, int64_t rows, int64_t columns, uint8_t* out, size_t out_bytes);

void dequantize(int32_t type, const uint8_t* data, size_t data_bytes, int64_t rows, int64_t columns, float* values);

}  // namespace dg
