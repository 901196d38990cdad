// Files mapped into memory. Some tensors can be used in the file without a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "model/source.h"

namespace dg {

// A whole file, mapped for reading. A page comes from the disk when it is first read, and the system may drop it again. If
// another file takes the name, the mapping keeps the old contents. If the file shrinks, reading the lost part ends the process.
class FileMapping {
public:
    explicit FileMapping(const SourceFile& file);
    ~FileMapping();
    FileMapping(const FileMapping&)            = delete;
    FileMapping& operator=(const FileMapping&) = delete;

    uint8_t* data() const { return data_; }
    size_t size() const { return file_.size(); }

    // Fails if the contents changed after the file was mapped: a result would mix old and new weights.
    void check() const { file_.check_contents(); }

private:
    OpenFile file_;
    uint8_t* data_ = nullptr;
};

// Whether a tensor can be used in the file as `type`: it is stored in that type, in order, at an aligned address.
bool mappable(const SourceTensor& tensor, ggml_type type);

}  // namespace dg
