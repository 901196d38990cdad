// The ABI's types against ggml's, and conversion of weights between them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "daguerre.h"
#include "ggml.h"

namespace dg {

// DG_TYPE_AUTO and unknown values give GGML_TYPE_COUNT.
ggml_type to_ggml_type(int32_t type);

// Types the ABI does not name give DG_TYPE_AUTO.
int32_t from_ggml_type(ggml_type type);

// Converts n_rows rows of row_size elements. Throws DG_ERR_UNSUPPORTED where the engine cannot.
void convert_rows(const void* src, ggml_type src_type, void* dst, ggml_type dst_type, int64_t n_rows, int64_t row_size);

}  // namespace dg
