// What the operating system is asked about files: one implementation for POSIX systems, one for Windows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dg {

// An open file: a descriptor, on Windows a HANDLE.
using FileHandle             = intptr_t;
constexpr FileHandle kNoFile = -1;

// Times are nanoseconds since 1970; `changed` is 0 if the system does not tell it. device and inode together name the file.
struct FileStatus {
    bool regular = false;
    int64_t size = 0, modified = 0, changed = 0;
    uint64_t device = 0, inode = 0, links = 0;
};

// Why a call failed, in the system's words.
struct FileFailure {
    bool missing   = false;  // there is no such file
    bool no_memory = false;
    std::string reason;
};

// Opens a file for reading, without waiting; the path is UTF-8. kNoFile if that fails.
FileHandle open_file(const std::string& path, FileFailure* failure);
void close_file(FileHandle file);

bool file_status(FileHandle file, FileStatus* status, FileFailure* failure);

// Reads at most `bytes` from an offset. Returns how many were read, 0 at the end of the file, -1 if reading fails.
int64_t read_file_at(FileHandle file, void* to, size_t bytes, uint64_t offset, FileFailure* failure);

// Makes a file and opens it for writing; kNoFile if that fails, or if there is one of that name.
FileHandle create_file(const std::string& path, FileFailure* failure);
bool write_file(FileHandle file, const void* data, size_t bytes, FileFailure* failure);
// Waits until what was written is on the disk.
bool flush_file(FileHandle file, FileFailure* failure);
bool rename_file(const std::string& from, const std::string& to, FileFailure* failure);  // `to` may exist
void remove_file(const std::string& path);
// Makes an empty file, or empties one: its time of change is now. A failure is not told.
void touch_file(const std::string& path);

// Maps the first `bytes` of a file for reading; NULL if that fails.
void* map_file(FileHandle file, size_t bytes, FileFailure* failure);
void unmap_file(void* data, size_t bytes);

}  // namespace dg
