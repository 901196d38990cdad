// Files mapped into memory, and the tensors that can be used there as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "model/source.h"

namespace dg {

// A whole file, mapped for reading. Its pages come from the disk when they are first read, and the system may drop them
// again. A file that shrinks while it is mapped ends the process where it is read.
class FileMapping {
public:
    explicit FileMapping(const std::string& path);
    ~FileMapping();
    FileMapping(const FileMapping&)            = delete;
    FileMapping& operator=(const FileMapping&) = delete;

    uint8_t* data() const { return data_; }
    size_t size() const { return size_; }

private:
    uint8_t* data_ = nullptr;
    size_t size_   = 0;
};

// Whether a tensor of `type` can be used in the file: stored in that type, in order, at an address the type can have.
bool mappable(const SourceTensor& tensor, ggml_type type);

}  // namespace dg
