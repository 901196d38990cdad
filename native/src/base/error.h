// One exception type for everything that goes wrong in the native part. It carries the status the
// C ABI reports; abi.cpp is the only place that turns it into one.
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

// While a thread has one, an assertion of the engine on it becomes an Error; elsewhere the process ends.
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

// printf-style construction of messages.
std::string format(const char* fmt, ...) __attribute__((format(printf, 1, 2)));

[[noreturn]] void fail(dg_status status, const char* fmt, ...) __attribute__((format(printf, 2, 3)));

}  // namespace dg
