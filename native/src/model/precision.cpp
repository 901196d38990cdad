#include "model/precision.h"

#include "base/error.h"
#include "model/types.h"

namespace dg {

PrecisionChoice choose_precision(int32_t asked, const Device& device) {
    switch (asked) {
        case DG_PRECISION_EXACT: return {asked, "asked for: F32 throughout, erf GELU"};
        case DG_PRECISION_F32:
        case DG_PRECISION_F16:
        case DG_PRECISION_BF16: return {asked, "asked for"};
        case DG_PRECISION_AUTO: break;
        default: fail(DG_ERR_ARGUMENT, "precision: %d is none of DG_PRECISION_*", asked);
    }
    if (!is_cpu(device)) {
        return {DG_PRECISION_F16, "F16 is what GPUs compute fastest"};
    }
    if (cpu_has_fast_bf16()) {
        return {DG_PRECISION_BF16, "this CPU multiplies BF16 natively (AVX512_BF16), faster than F16"};
    }
#if defined(__aarch64__)
    return {DG_PRECISION_F16, "F16 halves the memory traffic of F32; BF16 products of ARM CPUs are not used"};
#else
    return {DG_PRECISION_F16, "this CPU has no BF16 products; F16 halves the memory traffic of F32"};
#endif
}

TypePolicy choose_types(const PrecisionChoice& choice, int32_t type, const Device& device) {
    TypePolicy policy;
    switch (choice.precision) {
        case DG_PRECISION_F16: policy.dense = GGML_TYPE_F16; break;
        case DG_PRECISION_BF16: policy.dense = GGML_TYPE_BF16; break;
        default: policy.dense = GGML_TYPE_F32; break;
    }
    if (type < DG_TYPE_AUTO || type >= DG_TYPE_COUNT) {
        fail(DG_ERR_ARGUMENT, "type: %d is none of DG_TYPE_*", type);
    }
    if (type != DG_TYPE_AUTO) {
        policy.matrix = to_ggml_type(type);
        if (!ggml_is_quantized(policy.matrix)) {
            policy.dense = policy.matrix;
        }
    }
    policy.pack_convolutions = is_cpu(device);
    return policy;
}

}  // namespace dg
