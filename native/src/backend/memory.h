// All large allocations. They are counted, and a test can make them fail.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "backend/device.h"
#include "daguerre.h"

namespace dg {

// Bytes held now and their largest number so far, by use. Any thread may read them.
class MemoryAccount {
public:
    // kWeights + i and kHost + i are of component i.
    enum Use { kWeights = 0, kHost = DG_COMPONENT_COUNT, kCompute = 2 * DG_COMPONENT_COUNT, kAdapters, kUses };

    void add(int use, int64_t bytes);
    void set_mapped(int component, int64_t bytes) { mapped_[component] = bytes; }
    void set_loaded(int component, bool loaded);
    void reset_peaks();
    void report(dg_memory_info* out) const;

private:
    struct Counter {
        std::atomic<int64_t> now{0}, peak{0};
        void add(int64_t bytes);
    };
    Counter uses_[kUses], total_;
    std::atomic<int64_t> mapped_[DG_COMPONENT_COUNT] = {};
    std::atomic<int32_t> loaded_{0};
};

// A share of an account, given back at its end.
class Held {
public:
    Held() = default;
    Held(MemoryAccount* account, int use, int64_t bytes);
    Held(Held&& other) noexcept { swap(other); }
    Held& operator=(Held&& other) noexcept;
    ~Held();
    int64_t bytes() const { return bytes_; }

private:
    void swap(Held& other) noexcept;

    MemoryAccount* account_ = nullptr;
    int use_                = 0;
    int64_t bytes_          = 0;
};

// Throws DG_ERR_OUT_OF_MEMORY if dg_test_fail_allocations chose this allocation. Called before every counted allocation.
void check_allocation(const std::string& what, size_t bytes, const std::string& device_id);

// The error of an allocation that failed.
[[noreturn]] void out_of_memory(const std::string& what, size_t bytes, const std::string& device_id);

// Allocates a buffer on a device. Throws DG_ERR_OUT_OF_MEMORY with `what`, the purpose of the buffer.
BufferPtr allocate_buffer(ggml_backend_t backend, size_t bytes, const std::string& what, const std::string& device_id);

// Makes glibc map each block of a megabyte or more by itself, so that it goes back to the system when freed, and use few heaps.
// By default glibc raises this size to the largest block ever freed, and has a heap for every thread; Go calls from many threads.
// Eight pictures one after the other left 30 MiB behind.
void return_large_blocks();

// Gives freed memory back to the system. By itself glibc keeps small blocks.
void trim_heap();

// dg_test_fail_allocations; returns the number of allocations since the last call.
int64_t fail_allocations(int64_t seed, double probability, int64_t after);

}  // namespace dg
