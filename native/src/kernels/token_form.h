// The forms of packed tokens.
#pragma once

#include <cstdint>

#include "ggml.h"

namespace dg {

// kWide: BF16, or F32 for the F32 products. kBytes: bytes with a scale for each token and 32 inputs; for weights of which wants_q8
// says so.
enum class TokenForm { kWide, kBytes };

// Whether products with weights of this type on this CPU are made of bytes. Only then is there the form kBytes.
bool wants_q8(ggml_type type);

inline TokenForm form_for(ggml_type weight) {
    return wants_q8(weight) ? TokenForm::kBytes : TokenForm::kWide;
}

}  // namespace dg
