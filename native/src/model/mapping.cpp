#include "model/mapping.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

namespace dg {

FileMapping::FileMapping(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (file < 0 || fstat(file, &info) != 0) {
        const int code = errno;
        if (file >= 0) {
            ::close(file);
        }
        fail(DG_ERR_FILE, "%s: cannot be opened: %s", path.c_str(), std::strerror(code));
    }
    size_          = static_cast<size_t>(info.st_size);
    void* address  = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
    const int code = errno;
    ::close(file);
    if (address == MAP_FAILED) {
        fail(code == ENOMEM ? DG_ERR_OUT_OF_MEMORY : DG_ERR_FILE, "%s: %zu bytes cannot be mapped: %s", path.c_str(),
             size_, std::strerror(code));
    }
    data_ = static_cast<uint8_t*>(address);
}

FileMapping::~FileMapping() {
    munmap(data_, size_);
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
