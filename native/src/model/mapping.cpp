#include "model/mapping.h"

#include "base/error.h"

namespace dg {

FileMapping::FileMapping(const SourceFile& file) : file_(file) {
    FileFailure failure;
    data_ = static_cast<uint8_t*>(map_file(file_.handle(), size(), &failure));
    if (data_ == nullptr) {
        fail(failure.no_memory ? DG_ERR_OUT_OF_MEMORY : DG_ERR_FILE, "%s: %zu bytes cannot be mapped: %s",
             file.path.c_str(), size(), failure.reason.c_str());
    }
}

FileMapping::~FileMapping() {
    unmap_file(data_, size());
}

bool mappable(const SourceTensor& tensor, ggml_type type) {
    if (tensor.type != type || !tensor.plain()) {
        return false;
    }
    // blocks of quantized types begin with halves
    const size_t alignment = type == GGML_TYPE_F32 ? 4 : 2;
    return tensor.offset % alignment == 0;
}

}  // namespace dg
