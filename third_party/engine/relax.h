/* Forced into ggml-cpu.c (CMakeLists.txt): what its threads do while they wait for each other.
 *
 * ggml's threads meet by spinning after every node. Where another program, or another picture, wants the core, a
 * spinning thread keeps the one it waits for from running until its time slice ends, at every node anew. Here a wait
 * that lasts gives the core away, and one that lasts long sleeps. An idle machine does not notice: waits there are
 * shorter. */
#pragma once

#if defined(__x86_64__) || defined(__aarch64__)

#if defined(_WIN32)
__declspec(dllimport) int __stdcall SwitchToThread(void);
#else
#include <sched.h>
#include <time.h>
#endif

#if defined(__x86_64__)

#include <immintrin.h>

#include <x86intrin.h>

static inline unsigned long long dg_ticks(void) {
    return __rdtsc();
}

static inline unsigned long long dg_new_wait(void) {
    return 100000;
}

static inline void dg_pause(void) {
    __builtin_ia32_pause();
}

#define _mm_pause dg_relax

#else

static inline unsigned long long dg_ticks(void) {
    unsigned long long ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}

static inline unsigned long long dg_new_wait(void) {
    unsigned long long ticks_a_second;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(ticks_a_second));
    return ticks_a_second / 25000;
}

/* "yield" is nothing on most cores; this takes about as long as x86's pause. */
static inline void dg_pause(void) {
    __asm__ volatile("isb" ::: "memory");
}

/* ggml-cpu.c defines ggml_thread_cpu_relax(void), which becomes dg_relax_void, and calls ggml_thread_cpu_relax(). */
#define ggml_thread_cpu_relax(x) dg_relax_##x(x)
#define dg_relax_() dg_relax()

#endif

enum {
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
    unsigned long long now = dg_ticks();
    /* a wait is a new one 40 us after the last call */
    if (now - last > dg_new_wait()) {
        spins = 0;
    }
    last = now;
    dg_pause();
    spins++;
    if (spins >= DG_SPINS && (spins % DG_YIELDS == 0 || spins >= DG_LONG_WAIT)) {
        dg_give_core(spins);
        last = dg_ticks(); /* the wait goes on */
    }
}

#endif
