// <windows.h> without what we do not want of it, and texts between UTF-8 and UTF-16. Only for files that are compiled for Windows.
#pragma once

#if !defined(WIN32_LEAN_AND_MEAN)
#define WIN32_LEAN_AND_MEAN
#endif
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#if !defined(_WIN32_WINNT) || _WIN32_WINNT < 0x0A00
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00  // Windows 10
#endif
#include <windows.h>

#include <string>

namespace dg {

// False, with the system's error set, if the text is not UTF-8.
bool wide_of(const std::string& text, std::wstring* wide);

// What the system says of an error code, in English where it can, without a line's end.
std::string system_message(DWORD code);

}  // namespace dg
