#if defined(_WIN32)

#include <algorithm>

#include "base/files.h"
#include "base/windows.h"

namespace dg {

namespace {

constexpr int64_t kTicksTo1970 = 116444736000000000;  // from 1601, in ticks of 100 ns
constexpr size_t kMaxPath      = 248;                 // longer ones want the prefix \\?\ before Windows 10 1607

void tell(FileFailure* failure) {
    const DWORD code   = GetLastError();
    failure->missing   = code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND;
    failure->no_memory = code == ERROR_NOT_ENOUGH_MEMORY || code == ERROR_COMMITMENT_LIMIT || code == ERROR_OUTOFMEMORY;
    failure->reason    = system_message(code);
}

HANDLE handle(FileHandle file) {
    return reinterpret_cast<HANDLE>(file);
}

// Times before 1970 and "not known" are 0.
int64_t nanoseconds(int64_t ticks) {
    return ticks > kTicksTo1970 ? (ticks - kTicksTo1970) * 100 : 0;
}

// A long path as an absolute one with the prefix that lifts the limit of 260 characters.
std::wstring long_path(const std::wstring& path) {
    if (path.size() < kMaxPath || path.compare(0, 4, L"\\\\?\\") == 0) {
        return path;
    }
    std::wstring full(32768, L'\0');
    const DWORD n = GetFullPathNameW(path.c_str(), static_cast<DWORD>(full.size()), &full[0], nullptr);
    if (n == 0 || n >= full.size()) {
        return path;
    }
    full.resize(n);
    return full.compare(0, 2, L"\\\\") == 0 ? L"\\\\?\\UNC\\" + full.substr(2) : L"\\\\?\\" + full;
}

}  // namespace

FileHandle open_file(const std::string& path, FileFailure* failure) {
    std::wstring wide;
    if (!wide_of(path, &wide)) {
        tell(failure);
        return kNoFile;
    }
    // Others may write, rename and remove the file, as on other systems: a change is noticed when the file is looked at.
    const HANDLE opened =
        CreateFileW(long_path(wide).c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                    nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (opened == INVALID_HANDLE_VALUE) {
        tell(failure);
        return kNoFile;
    }
    return reinterpret_cast<FileHandle>(opened);
}

void close_file(FileHandle file) {
    CloseHandle(handle(file));
}

bool file_status(FileHandle file, FileStatus* status, FileFailure* failure) {
    BY_HANDLE_FILE_INFORMATION info;
    FILE_BASIC_INFO basic;
    if (GetFileType(handle(file)) != FILE_TYPE_DISK) {
        *status = {};
        return true;
    }
    if (GetFileInformationByHandle(handle(file), &info) == 0 ||
        GetFileInformationByHandleEx(handle(file), FileBasicInfo, &basic, sizeof(basic)) == 0) {
        tell(failure);
        return false;
    }
    const auto join  = [](DWORD high, DWORD low) { return static_cast<uint64_t>(high) << 32 | low; };
    status->regular  = (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) == 0;
    status->size     = static_cast<int64_t>(join(info.nFileSizeHigh, info.nFileSizeLow));
    status->modified = nanoseconds(basic.LastWriteTime.QuadPart);
    status->changed  = nanoseconds(basic.ChangeTime.QuadPart);
    status->device   = info.dwVolumeSerialNumber;
    status->inode    = join(info.nFileIndexHigh, info.nFileIndexLow);
    status->links    = info.nNumberOfLinks;
    return true;
}

int64_t read_file_at(FileHandle file, void* to, size_t bytes, uint64_t offset, FileFailure* failure) {
    OVERLAPPED at  = {};
    at.Offset      = static_cast<DWORD>(offset);
    at.OffsetHigh  = static_cast<DWORD>(offset >> 32);
    DWORD got      = 0;
    const auto ask = static_cast<DWORD>(std::min<size_t>(bytes, size_t{1} << 30));
    if (ReadFile(handle(file), to, ask, &got, &at) == 0 && GetLastError() != ERROR_HANDLE_EOF) {
        tell(failure);
        return -1;
    }
    return got;
}

FileHandle create_file(const std::string& path, FileFailure* failure) {
    std::wstring wide;
    HANDLE made = INVALID_HANDLE_VALUE;
    if (wide_of(path, &wide)) {
        made = CreateFileW(long_path(wide).c_str(), GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr,
                           CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr);
    }
    if (made == INVALID_HANDLE_VALUE) {
        tell(failure);
        return kNoFile;
    }
    return reinterpret_cast<FileHandle>(made);
}

bool write_file(FileHandle file, const void* data, size_t bytes, FileFailure* failure) {
    const char* at = static_cast<const char*>(data);
    while (bytes > 0) {
        DWORD n = 0;
        if (WriteFile(handle(file), at, static_cast<DWORD>(std::min<size_t>(bytes, size_t{1} << 30)), &n, nullptr) ==
                0 ||
            n == 0) {
            tell(failure);
            return false;
        }
        at += n;
        bytes -= n;
    }
    return true;
}

bool flush_file(FileHandle file, FileFailure* failure) {
    if (FlushFileBuffers(handle(file)) == 0) {
        tell(failure);
        return false;
    }
    return true;
}

bool rename_file(const std::string& from, const std::string& to, FileFailure* failure) {
    std::wstring wide_from, wide_to;
    if (!wide_of(from, &wide_from) || !wide_of(to, &wide_to) ||
        MoveFileExW(long_path(wide_from).c_str(), long_path(wide_to).c_str(), MOVEFILE_REPLACE_EXISTING) == 0) {
        tell(failure);
        return false;
    }
    return true;
}

void remove_file(const std::string& path) {
    std::wstring wide;
    if (wide_of(path, &wide)) {
        DeleteFileW(long_path(wide).c_str());
    }
}

void touch_file(const std::string& path) {
    FileFailure failure;
    remove_file(path);
    const FileHandle made = create_file(path, &failure);
    if (made != kNoFile) {
        close_file(made);
    }
}

void* map_file(FileHandle file, size_t bytes, FileFailure* failure) {
    const HANDLE mapping = CreateFileMappingW(handle(file), nullptr, PAGE_READONLY, 0, 0, nullptr);
    if (mapping == nullptr) {
        tell(failure);
        return nullptr;
    }
    void* data = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, bytes);
    if (data == nullptr) {
        tell(failure);
    }
    CloseHandle(mapping);  // the view keeps it
    return data;
}

void unmap_file(void* data, size_t) {
    UnmapViewOfFile(data);
}

}  // namespace dg

#endif
