// Threads that are refused, and how many are used.
#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/lanes.h"
#include "base/parallel.h"
#include "check.h"

using namespace dg;

namespace {

// How many threads take part in n calls that wait for each other, up to `threads` at a time.
size_t threads_of(int64_t n, int32_t threads) {
    std::mutex mutex;
    std::set<std::thread::id> ids;
    std::atomic<int64_t> calls{0};
    in_parallel(n, threads, [&](int64_t) {
        calls++;
        const std::lock_guard<std::mutex> lock(mutex);
        ids.insert(std::this_thread::get_id());
    });
    CHECK(calls == n);
    return ids.size();
}

}  // namespace

CASE("no more threads than allowed") {
    CHECK(threads_of(1000, 1) == 1);
    CHECK(threads_of(1000, 3) <= 3);
    CHECK(threads_of(1, 8) == 1);
    CHECK(threads_of(0, 8) == 0);
    // calls that wait until two are there need two threads
    std::atomic<int> there{0};
    in_parallel(2, 2, [&](int64_t) {
        there++;
        while (there < 2) {
            std::this_thread::yield();
        }
    });
    CHECK(there == 2);
}

CASE("refused threads") {
    refuse_threads(true);
    CHECK(threads_of(100, 64) == 1);
    {
        LaneThread lane;
        bool called = false;
        lane.start([&] { called = true; });
        lane.wait();
        CHECK(called);
    }
    refuse_threads(false);
    LaneThread lane;
    bool called = false;
    lane.start([&] { called = true; });
    lane.wait();
    CHECK(called);
}

CASE("a failed call is thrown where threads are refused too") {
    for (const bool refuse : {false, true}) {
        refuse_threads(refuse);
        bool thrown = false;
        try {
            in_parallel(100, 8, [](int64_t i) {
                if (i == 7) {
                    throw std::runtime_error("seven");
                }
            });
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        CHECK(thrown);
    }
    refuse_threads(false);
}

// The system's own refusal: a process of a user who may have no more of them.
CASE("limit of processes") {
    const pid_t child = fork();
    if (child == 0) {
        const rlimit none{0, 0};
        if (setrlimit(RLIMIT_NPROC, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0)) {
            _exit(0);  // not ours to try here
        }
        std::atomic<int> calls{0};
        in_parallel(100, 64, [&](int64_t) { calls++; });
        _exit(calls == 100 ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

CHECK_MAIN()
