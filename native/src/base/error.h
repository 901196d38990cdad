// The one exception type of the native part. It holds the status that the C ABI reports. Only abi.cpp turns the exception into
// the status.
#pragma once

#include <stdexcept>
#include <string>

#include "daguerre.h"

namespace dg {

class Error : public std::runtime_error {
public:
    Error(dg_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
    dg_status status() const { return status_; }

private:
    dg_status status_;
};

// While a thread has a guard, a failed assertion of the engine on this thread becomes an Error. Without a guard it ends the
// process.
class AssertionGuard {
public:
    AssertionGuard() { depth_++; }
    ~AssertionGuard() { depth_--; }
    AssertionGuard(const AssertionGuard&)            = delete;
    AssertionGuard& operator=(const AssertionGuard&) = delete;

    static bool active() { return depth_ > 0; }

private:
    static thread_local int depth_;
};

// Makes a message, as printf does.
std::string format(const char* fmt, ...) __attribute__((format(printf, 1, 2)));

[[noreturn]] void fail(dg_status status, const char* fmt, ...) __attribute__((format(printf, 2, 3)));

}  // namespace dg
