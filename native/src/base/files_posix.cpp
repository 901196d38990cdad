#if !defined(_WIN32)

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

namespace dg {

namespace {

void tell(FileFailure* failure) {
    const int code     = errno;
    failure->missing   = code == ENOENT;
    failure->no_memory = code == ENOMEM;
    failure->reason    = std::strerror(code);
}

int descriptor(FileHandle file) {
    return static_cast<int>(file);
}

int64_t nanoseconds(const struct timespec& time) {
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

}  // namespace

FileHandle open_file(const std::string& path, FileFailure* failure) {
    const int opened = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0) {
        tell(failure);
        return kNoFile;
    }
    return opened;
}

void close_file(FileHandle file) {
    ::close(descriptor(file));
}

bool file_status(FileHandle file, FileStatus* status, FileFailure* failure) {
    struct stat now;
    if (fstat(descriptor(file), &now) != 0) {
        tell(failure);
        return false;
    }
#if defined(__APPLE__)
    const struct timespec &modified = now.st_mtimespec, &changed = now.st_ctimespec;
#else
    const struct timespec &modified = now.st_mtim, &changed = now.st_ctim;
#endif
    status->regular  = S_ISREG(now.st_mode);
    status->size     = now.st_size;
    status->modified = nanoseconds(modified);
    status->changed  = nanoseconds(changed);
    status->device   = now.st_dev;
    status->inode    = now.st_ino;
    status->links    = now.st_nlink;
    return true;
}

int64_t read_file_at(FileHandle file, void* to, size_t bytes, uint64_t offset, FileFailure* failure) {
    for (;;) {
        const ssize_t got = ::pread(descriptor(file), to, bytes, static_cast<off_t>(offset));
        if (got >= 0) {
            return got;
        }
        if (errno != EINTR) {
            tell(failure);
            return -1;
        }
    }
}

FileHandle create_file(const std::string& path, FileFailure* failure) {
    const int made = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made < 0) {
        tell(failure);
        return kNoFile;
    }
    return made;
}

bool write_file(FileHandle file, const void* data, size_t bytes, FileFailure* failure) {
    const char* at = static_cast<const char*>(data);
    while (bytes > 0) {
        const ssize_t n = ::write(descriptor(file), at, bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            tell(failure);
            return false;
        }
        at += n;
        bytes -= static_cast<size_t>(n);
    }
    return true;
}

bool flush_file(FileHandle file, FileFailure* failure) {
    if (fsync(descriptor(file)) != 0) {
        tell(failure);
        return false;
    }
    return true;
}

bool rename_file(const std::string& from, const std::string& to, FileFailure* failure) {
    if (::rename(from.c_str(), to.c_str()) != 0) {
        tell(failure);
        return false;
    }
    return true;
}

void remove_file(const std::string& path) {
    ::unlink(path.c_str());
}

void touch_file(const std::string& path) {
    const int made = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0600);
    if (made >= 0) {
        (void)futimens(made, nullptr);
        ::close(made);
    }
}

void* map_file(FileHandle file, size_t bytes, FileFailure* failure) {
    void* data = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor(file), 0);
    if (data == MAP_FAILED) {
        tell(failure);
        return nullptr;
    }
    return data;
}

void unmap_file(void* data, size_t bytes) {
    munmap(data, bytes);
}

}  // namespace dg

#endif
