// check.h: the few lines a native test needs. A test file defines named cases and one main:
//
//     CASE("q8_0 rounds to nearest") {
//         CHECK(value == 3);
//         CHECK_NEAR(sum, 1.0, 1e-6);
//     }
//     CHECK_MAIN()
//
// A failed check prints file:line with what was found and the case goes on; REQUIRE ends the
// case. An exception that leaves a case fails it. Arguments of the program select cases whose
// name contains one of them.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

namespace check {

struct Case {
    const char* name;
    void (*run)();
};

inline std::vector<Case>& cases() {
    static std::vector<Case> all;
    return all;
}

inline int& failures() {
    static int count = 0;
    return count;
}

inline long& checks() {
    static long count = 0;
    return count;
}

struct Register {
    Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

// Ends a case; thrown by REQUIRE after it has counted the failure.
struct Stop {};

inline bool report(bool ok, const char* file, int line, const std::string& what) {
    ++checks();
    if (!ok) {
        ++failures();
        std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
    }
    return ok;
}

template <class A, class B>
bool equal(const A& a, const B& b, const char* expr, const char* file, int line) {
    bool ok = a == b;
    std::ostringstream what;
    if (!ok)
        what << expr << ": found " << a << ", want " << b;
    return report(ok, file, line, what.str());
}

inline bool near(double a, double b, double tolerance, const char* expr, const char* file, int line) {
    bool ok = std::fabs(a - b) <= tolerance;  // false for NaN
    std::ostringstream what;
    what.precision(9);
    if (!ok)
        what << expr << ": found " << a << ", want " << b << " within " << tolerance;
    return report(ok, file, line, what.str());
}

inline int run(int argc, char** argv) {
    int ran = 0;
    for (const Case& c : cases()) {
        bool chosen = argc < 2;
        for (int i = 1; i < argc; ++i)
            chosen = chosen || std::strstr(c.name, argv[i]) != nullptr;
        if (!chosen)
            continue;
        ++ran;
        int before = failures();
        try {
            c.run();
        } catch (const Stop&) {
        } catch (const std::exception& e) {
            report(false, c.name, 0, std::string("exception left the case: ") + e.what());
        }
        std::printf("%s %s\n", failures() == before ? "ok  " : "FAIL", c.name);
    }
    std::printf("%d cases, %ld checks, %d failures\n", ran, checks(), failures());
    return failures() == 0 && ran > 0 ? 0 : 1;
}

}  // namespace check

#define CHECK_JOIN2(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN2(a, b)
#define CASE(name) CHECK_CASE(name, CHECK_JOIN(check_case_, __LINE__))
#define CHECK_CASE(name, function)                                         \
    static void function();                                                \
    static const check::Register CHECK_JOIN(function, _r)(name, function); \
    static void function()

#define CHECK(expr) check::report(static_cast<bool>(expr), __FILE__, __LINE__, #expr)
#define CHECK_EQ(a, b) check::equal((a), (b), #a, __FILE__, __LINE__)
#define CHECK_NEAR(a, b, tolerance) check::near((a), (b), (tolerance), #a, __FILE__, __LINE__)
#define REQUIRE(expr)            \
    do {                         \
        if (!CHECK(expr))        \
            throw check::Stop{}; \
    } while (0)
#define CHECK_THROWS(expr)                                                      \
    do {                                                                        \
        bool thrown = false;                                                    \
        try {                                                                   \
            (void)(expr);                                                       \
        } catch (const std::exception&) {                                       \
            thrown = true;                                                      \
        }                                                                       \
        check::report(thrown, __FILE__, __LINE__, #expr " threw no exception"); \
    } while (0)
#define CHECK_MAIN()                   \
    int main(int argc, char** argv) {  \
        return check::run(argc, argv); \
    }
