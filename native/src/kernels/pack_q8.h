// Tokens that were packed in BF16, as bytes. Where it can be, what makes tokens writes bytes itself.
#pragma once

#include "ggml.h"
#include "kernels/token_form.h"

namespace dg {

// Graph node: tokens packed in BF16 (kernels/pack_tokens.h), rounded to bytes -> I8 [18 * in, groups]. Each block of 32 inputs
// of a token is scaled by its largest value.
ggml_tensor* pack_q8(ggml_context* ctx, ggml_tensor* packed);

}  // namespace dg
