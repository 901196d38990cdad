// A file of weights may be opened many times. Each time it must be the same file as when its header was read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/files.h"

namespace dg {

// A file, and its size and times when its header was read. A field that is zero is unknown and is not compared.
struct SourceFile {
    std::string path;
    int64_t size = 0, modified = 0, changed = 0;  // bytes; nanoseconds since 1970: last write, last change of any kind
    uint64_t device = 0, inode = 0;
    bool known() const { return modified != 0; }
};

// The file, open for reading. If the file was replaced, rewritten or removed after its header was read, this is an Error: the
// table of weights describes the old file, and weights of two files must not be mixed.
class OpenFile {
public:
    explicit OpenFile(const SourceFile& file);
    ~OpenFile();
    OpenFile(const OpenFile&)            = delete;
    OpenFile& operator=(const OpenFile&) = delete;

    FileHandle handle() const { return handle_; }
    size_t size() const { return static_cast<size_t>(opened_.size); }

    // Fails if the contents changed. If this passes, everything that was read before it is right: the system sets the time of
    // a write before it writes.
    void check() const;
    // The same for a file that is mapped. Such a file may lose its name, and stays valid.
    void check_contents() const;

private:
    SourceFile opened_;  // as it was at the first opening
    uint64_t links_    = 0;
    FileHandle handle_ = kNoFile;
};

}  // namespace dg
