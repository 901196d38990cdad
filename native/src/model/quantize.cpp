#include "model/quantize.h"

#include <cmath>
#include <cstdint>

#include "base/error.h"
#include "daguerre.h"
#include "ggml.h"
#include "model/types.h"

namespace dg {

namespace {

// A tensor has fewer elements than this, so that products of sizes fit into 64 bits.
constexpr int64_t kMaxElements = int64_t{1} << 40;

ggml_type checked_type(int32_t type, int64_t columns) {
    const ggml_type found = to_ggml_type(type);
    if (found == GGML_TYPE_COUNT) {
        fail(DG_ERR_ARGUMENT, "type: %d is no DG_TYPE to convert to or from", type);
    }
    if (columns < 1 || columns > kMaxElements || columns % ggml_blck_size(found) != 0) {
        fail(DG_ERR_ARGUMENT, "columns: %lld is no positive multiple of %lld, the block of %s",
             static_cast<long long>(columns), static_cast<long long>(ggml_blck_size(found)), ggml_type_name(found));
    }
    return found;
}

// Checks all of a call's sizes and returns the type.
ggml_type checked(int32_t type, const float* values, int64_t rows, int64_t columns, const uint8_t* data, size_t bytes) {
    if (values == nullptr || data == nullptr) {
        fail(DG_ERR_ARGUMENT, "a buffer is NULL");
    }
    const ggml_type found = checked_type(type, columns);
    if (rows < 1 || rows > kMaxElements / columns) {
        fail(DG_ERR_ARGUMENT, "rows: %lld rows of %lld elements are no size of a tensor", static_cast<long long>(rows),
             static_cast<long long>(columns));
    }
    const size_t want = ggml_row_size(found, columns) * static_cast<size_t>(rows);
    if (bytes != want) {
        fail(DG_ERR_ARGUMENT, "a buffer of %zu bytes is given where %s needs %zu", bytes, ggml_type_name(found), want);
    }
    return found;
}

}  // namespace

size_t row_bytes(int32_t type, int64_t columns) {
    return ggml_row_size(checked_type(type, columns), columns);
}

void quantize(int32_t type, const float* values, int64_t rows, int64_t columns, uint8_t* out, size_t out_bytes) {
    const ggml_type to = checked(type, values, rows, columns, out, out_bytes);
    if (ggml_is_quantized(to)) {
        // On a value that is not a number the engine's quantizers end the process or loop for ever.
        for (int64_t i = 0; i < rows * columns; i++) {
            if (!std::isfinite(values[i])) {
                fail(DG_ERR_ARGUMENT, "value %lld is not finite; type %s cannot hold it", static_cast<long long>(i),
                     ggml_type_name(to));
            }
        }
    }
    convert_rows(values, GGML_TYPE_F32, out, to, rows, columns);
}

void dequantize(int32_t type, const uint8_t* data, size_t data_bytes, int64_t rows, int64_t columns, float* values) {
    const ggml_type from = checked(type, values, rows, columns, data, data_bytes);
    convert_rows(data, from, values, GGML_TYPE_F32, rows, columns);
}

}  // namespace dg
