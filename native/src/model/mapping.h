// Files mapped into memory, and the tensors that can be used there as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "model/source.h"

namespace dg {

// A whole file, mapped for reading. Its pages come from the disk when they are first read, and the system may drop them
// again. A file that is replaced under its name stays what it was here. One that shrinks ends the process where it is read.
class FileMapping {
public:
    explicit FileMapping(const SourceFile& file);
    ~FileMapping();
    FileMapping(const FileMapping&)            = delete;
    FileMapping& operator=(const FileMapping&) = delete;

    uint8_t* data() const { return data_; }
    size_t size() const { return file_.size(); }

    // Refuses a file whose contents changed since it was mapped: what is computed with it is a mixture.
    void check() const { file_.check_contents(); }

private:
    OpenFile file_;
    uint8_t* data_ = nullptr;
};

// Whether a tensor of `type` can be used in the file: stored in that type, in order, at an address the type can have.
bool mappable(const SourceTensor& tensor, ggml_type type);

}  // namespace dg
