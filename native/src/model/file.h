// A file of weights that is opened again and again: what it was when its header was read, and whether it still is that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dg {

// A file, and what told it from others when its header was read. What is zero is not known and not compared.
struct SourceFile {
    std::string path;
    int64_t size = 0, modified = 0, changed = 0;  // bytes; nanoseconds since 1970, of contents and of anything
    uint64_t device = 0, inode = 0;
    bool known() const { return modified != 0; }
};

// The file, open for reading. A file that was replaced, rewritten or removed since its header was read is an Error: the table
// of weights is not that file's, and weights of two files are not to be mixed.
class OpenFile {
public:
    explicit OpenFile(const SourceFile& file);
    ~OpenFile();
    OpenFile(const OpenFile&)            = delete;
    OpenFile& operator=(const OpenFile&) = delete;

    int descriptor() const { return descriptor_; }
    size_t size() const { return static_cast<size_t>(opened_.size); }

    // Refuses contents that changed. What was read before is right where this passes: the system notes the time of a write
    // before it writes.
    void check() const;
    // The same for one who has the file mapped, and need not care about a name that it lost.
    void check_contents() const;

private:
    SourceFile opened_;  // as it was found
    uint64_t links_ = 0;
    int descriptor_ = -1;
};

}  // namespace dg
