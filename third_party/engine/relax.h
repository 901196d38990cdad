/* Forced into ggml-cpu.c (CMakeLists.txt): what its threads do while they wait for each other.
 *
 * ggml's threads meet by spinning after every node. Where another program, or another picture, wants the core, a
 * spinning thread keeps the one it waits for from running until its time slice ends, at every node anew. Here a wait
 * that lasts gives the core away, and one that lasts long sleeps. An idle machine does not notice: waits there are
 * shorter. */
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>
#if defined(_WIN32)
__declspec(dllimport) int __stdcall SwitchToThread(void);
#else
#include <sched.h>
#include <time.h>
#endif

#include <x86intrin.h>

enum {
    DG_NEW_WAIT  = 100000, /* cycles since the last call after which a wait is a new one, about 40 us */
    DG_SPINS     = 512,    /* pauses before the core is offered to others, about 10 us */
    DG_YIELDS    = 32,     /* pauses between two offers */
    DG_LONG_WAIT = 16384,  /* pauses before sleeping, with the offers about a millisecond */
    DG_SLEEP_NS  = 50000
};

/* Windows sleeps for a tick of its clock at least, up to 16 ms: there a thread gives the core away as long as it waits. */
static inline void dg_give_core(unsigned spins) {
#if defined(_WIN32)
    (void)spins;
    SwitchToThread();
#else
    if (spins >= DG_LONG_WAIT) {
        struct timespec time = {0, DG_SLEEP_NS};
        nanosleep(&time, NULL);
    } else {
        sched_yield();
    }
#endif
}

static inline void dg_relax(void) {
    static _Thread_local unsigned long long last;
    static _Thread_local unsigned spins;
    unsigned long long now = __rdtsc();
    if (now - last > DG_NEW_WAIT) {
        spins = 0;
    }
    last = now;
    __builtin_ia32_pause();
    spins++;
    if (spins >= DG_SPINS && (spins % DG_YIELDS == 0 || spins >= DG_LONG_WAIT)) {
        dg_give_core(spins);
        last = __rdtsc(); /* the wait goes on */
    }
}

#define _mm_pause dg_relax

#endif
