#include "model/file.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

namespace dg {

namespace {

#if defined(__APPLE__)
int64_t modified_of(const struct stat& s) {
    return s.st_mtimespec.tv_sec * 1000000000LL + s.st_mtimespec.tv_nsec;
}

int64_t changed_of(const struct stat& s) {
    return s.st_ctimespec.tv_sec * 1000000000LL + s.st_ctimespec.tv_nsec;
}
#else
int64_t modified_of(const struct stat& s) {
    return s.st_mtim.tv_sec * 1000000000LL + s.st_mtim.tv_nsec;
}

int64_t changed_of(const struct stat& s) {
    return s.st_ctim.tv_sec * 1000000000LL + s.st_ctim.tv_nsec;
}
#endif

[[noreturn]] void refuse(const std::string& path, const char* found) {
    fail(DG_ERR_FILE,
         "%s: %s since it was opened; open the model again (a worker: unload, then load it), so that all weights come "
         "from one file",
         path.c_str(), found);
}

struct stat status_of(int descriptor, const std::string& path) {
    struct stat now;
    if (fstat(descriptor, &now) != 0) {
        fail(DG_ERR_FILE, "%s: cannot be read: %s", path.c_str(), std::strerror(errno));
    }
    return now;
}

}  // namespace

OpenFile::OpenFile(const SourceFile& file) : opened_(file) {
    descriptor_ = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) {
        if (errno == ENOENT && file.known()) {
            refuse(file.path, "was removed");
        }
        fail(DG_ERR_FILE, "%s: cannot be opened: %s", file.path.c_str(), std::strerror(errno));
    }
    try {
        const struct stat now = status_of(descriptor_, file.path);
        if (!S_ISREG(now.st_mode)) {
            fail(DG_ERR_FILE, "%s: is no regular file", file.path.c_str());
        }
        links_ = now.st_nlink;
        if (!file.known()) {
            opened_.size     = now.st_size;
            opened_.modified = modified_of(now);
            opened_.changed  = changed_of(now);
        }
        check();
    } catch (...) {
        ::close(descriptor_);
        throw;
    }
}

OpenFile::~OpenFile() {
    ::close(descriptor_);
}

// The time of change also shows a replaced file: a rename sets it. So if this time is known, the inode number is not compared:
// some file systems (FAT, exFAT) give the same file a new number after a while.
void OpenFile::check() const {
    const struct stat now = status_of(descriptor_, opened_.path);
    const bool other      = opened_.inode != 0 && (now.st_ino != opened_.inode || now.st_dev != opened_.device);
    if (now.st_size != opened_.size || modified_of(now) != opened_.modified ||
        (opened_.changed != 0 ? changed_of(now) != opened_.changed : other)) {
        refuse(opened_.path, other ? "was replaced by another file" : "was changed");
    }
}

void OpenFile::check_contents() const {
    const struct stat now = status_of(descriptor_, opened_.path);
    const bool touched    = opened_.changed != 0 && changed_of(now) != opened_.changed;
    if (now.st_size != opened_.size || modified_of(now) != opened_.modified || (touched && now.st_nlink == links_)) {
        refuse(opened_.path, "was changed");
    }
}

}  // namespace dg
