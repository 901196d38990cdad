#include "model/mapping.h"

#include <cerrno>
#include <cstring>

#include <sys/mman.h>

#include "base/error.h"

namespace dg {

FileMapping::FileMapping(const SourceFile& file) : file_(file) {
    void* address  = mmap(nullptr, size(), PROT_READ, MAP_SHARED, file_.descriptor(), 0);
    const int code = errno;
    if (address == MAP_FAILED) {
        fail(code == ENOMEM ? DG_ERR_OUT_OF_MEMORY : DG_ERR_FILE, "%s: %zu bytes cannot be mapped: %s",
             file.path.c_str(), size(), std::strerror(code));
    }
    data_ = static_cast<uint8_t*>(address);
}

FileMapping::~FileMapping() {
    munmap(data_, size());
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
