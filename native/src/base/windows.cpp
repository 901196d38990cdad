#if defined(_WIN32)

#include "base/windows.h"

#include "base/error.h"

namespace dg {

bool wide_of(const std::string& text, std::wstring* wide) {
    wide->clear();
    if (text.empty()) {
        return true;
    }
    const int n =
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text.data(), static_cast<int>(text.size()), nullptr, 0);
    if (n <= 0) {
        return false;
    }
    wide->resize(static_cast<size_t>(n));
    MultiByteToWideChar(CP_UTF8, 0, text.data(), static_cast<int>(text.size()), &(*wide)[0], n);
    return true;
}

std::string system_message(DWORD code) {
    wchar_t buffer[512];
    constexpr DWORD kFlags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS;
    DWORD n = FormatMessageW(kFlags, nullptr, code, MAKELANGID(LANG_ENGLISH, SUBLANG_ENGLISH_US), buffer, 512, nullptr);
    if (n == 0) {
        n = FormatMessageW(kFlags, nullptr, code, 0, buffer, 512, nullptr);
    }
    while (n > 0 &&
           (buffer[n - 1] == L'\n' || buffer[n - 1] == L'\r' || buffer[n - 1] == L' ' || buffer[n - 1] == L'.')) {
        n--;
    }
    char text[2048];
    const int bytes =
        n == 0 ? 0 : WideCharToMultiByte(CP_UTF8, 0, buffer, static_cast<int>(n), text, sizeof(text), nullptr, nullptr);
    return bytes > 0 ? std::string(text, static_cast<size_t>(bytes)) : format("system error %lu", code);
}

}  // namespace dg

#endif
