#include "model/file.h"

#include "base/error.h"

namespace dg {

namespace {

[[noreturn]] void refuse(const std::string& path, const char* found) {
    fail(DG_ERR_FILE,
         "%s: %s since it was opened; open the model again (a worker: unload, then load it), so that all weights come "
         "from one file",
         path.c_str(), found);
}

FileStatus status_of(FileHandle file, const std::string& path) {
    FileStatus now;
    FileFailure failure;
    if (!file_status(file, &now, &failure)) {
        fail(DG_ERR_FILE, "%s: cannot be read: %s", path.c_str(), failure.reason.c_str());
    }
    return now;
}

}  // namespace

OpenFile::OpenFile(const SourceFile& file) : opened_(file) {
    FileFailure failure;
    handle_ = open_file(file.path, &failure);
    if (handle_ == kNoFile) {
        if (failure.missing && file.known()) {
            refuse(file.path, "was removed");
        }
        fail(DG_ERR_FILE, "%s: cannot be opened: %s", file.path.c_str(), failure.reason.c_str());
    }
    try {
        const FileStatus now = status_of(handle_, file.path);
        if (!now.regular) {
            fail(DG_ERR_FILE, "%s: is no regular file", file.path.c_str());
        }
        links_ = now.links;
        if (!file.known()) {
            opened_.size     = now.size;
            opened_.modified = now.modified;
            opened_.changed  = now.changed;
        }
        check();
    } catch (...) {
        close_file(handle_);
        throw;
    }
}

OpenFile::~OpenFile() {
    close_file(handle_);
}

// The time of change also shows a replaced file: a rename sets it. So if this time is known, the inode number is not compared:
// some file systems (FAT, exFAT) give the same file a new number after a while.
void OpenFile::check() const {
    const FileStatus now = status_of(handle_, opened_.path);
    const bool other     = opened_.inode != 0 && (now.inode != opened_.inode || now.device != opened_.device);
    if (now.size != opened_.size || now.modified != opened_.modified ||
        (opened_.changed != 0 ? now.changed != opened_.changed : other)) {
        refuse(opened_.path, other ? "was replaced by another file" : "was changed");
    }
}

void OpenFile::check_contents() const {
    const FileStatus now = status_of(handle_, opened_.path);
    const bool touched   = opened_.changed != 0 && now.changed != opened_.changed;
    if (now.size != opened_.size || now.modified != opened_.modified || (touched && now.links == links_)) {
        refuse(opened_.path, "was changed");
    }
}

}  // namespace dg
