#include "backend/memory.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "base/error.h"

namespace dg {

void MemoryAccount::Counter::add(int64_t bytes) {
    const int64_t after = now += bytes;
    int64_t most        = peak.load();
    while (after > most && !peak.compare_exchange_weak(most, after)) {
    }
}

void MemoryAccount::add(int use, int64_t bytes) {
    uses_[use].add(bytes);
    total_.add(bytes);
}

void MemoryAccount::set_loaded(int component, bool loaded) {
    if (loaded) {
        loaded_ |= 1 << component;
    } else {
        loaded_ &= ~(1 << component);
    }
}

void MemoryAccount::reset_peaks() {
    for (Counter& counter : uses_) {
        counter.peak = counter.now.load();
    }
    total_.peak = total_.now.load();
}

void MemoryAccount::report(dg_memory_info* out) const {
    out->loaded = loaded_;
    for (int i = 0; i < DG_COMPONENT_COUNT; i++) {
        out->weights[i]      = uses_[kWeights + i].now;
        out->weights_peak[i] = uses_[kWeights + i].peak;
        out->host[i]         = uses_[kHost + i].now;
        out->host_peak[i]    = uses_[kHost + i].peak;
        out->mapped[i]       = mapped_[i];
    }
    out->compute       = uses_[kCompute].now;
    out->compute_peak  = uses_[kCompute].peak;
    out->adapters      = uses_[kAdapters].now;
    out->adapters_peak = uses_[kAdapters].peak;
    out->total         = total_.now;
    out->total_peak    = total_.peak;
}

Held::Held(MemoryAccount* account, int use, int64_t bytes) : account_(account), use_(use), bytes_(bytes) {
    if (account_ != nullptr) {
        account_->add(use_, bytes_);
    }
}

Held& Held::operator=(Held&& other) noexcept {
    Held old;
    old.swap(*this);
    swap(other);
    return *this;
}

Held::~Held() {
    if (account_ != nullptr) {
        account_->add(use_, -bytes_);
    }
}

void Held::swap(Held& other) noexcept {
    std::swap(account_, other.account_);
    std::swap(use_, other.use_);
    std::swap(bytes_, other.bytes_);
}

namespace {

// The failures that a test asked for.
struct Failures {
    std::mutex mutex;
    std::mt19937_64 random;
    double probability  = 0;
    int64_t after       = 0;
    int64_t allocations = 0;

    Failures() {
        const char* order = std::getenv("DAGUERRE_FAIL_ALLOCATIONS");
        long long seed = 0, first = 0;
        double p = 0;
        if (order != nullptr && std::sscanf(order, "%lld,%lf,%lld", &seed, &p, &first) == 3) {
            random.seed(static_cast<uint64_t>(seed));
            probability = p;
            after       = first;
        }
    }

    bool next() {
        const std::lock_guard<std::mutex> lock(mutex);
        if (allocations++ < after || probability <= 0) {
            return false;
        }
        return static_cast<double>(random() >> 11) * 0x1p-53 < probability;
    }
};

Failures& failures() {
    static Failures instance;
    return instance;
}

}  // namespace

void out_of_memory(const std::string& what, size_t bytes, const std::string& device_id) {
    fail(DG_ERR_OUT_OF_MEMORY, "%s: %.1f MiB could not be allocated on %s", what.c_str(),
         static_cast<double>(bytes) / (1024.0 * 1024.0), device_id.c_str());
}

void check_allocation(const std::string& what, size_t bytes, const std::string& device_id) {
    if (failures().next()) {
        out_of_memory(what, bytes, device_id);
    }
}

BufferPtr allocate_buffer(ggml_backend_t backend, size_t bytes, const std::string& what, const std::string& device_id) {
    check_allocation(what, bytes, device_id);
    BufferPtr buffer(ggml_backend_buft_alloc_buffer(ggml_backend_get_default_buffer_type(backend), bytes));
    if (buffer == nullptr) {
        out_of_memory(what, bytes, device_id);
    }
    return buffer;
}

void return_large_blocks() {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_ARENA_MAX, 2);
#endif
}

void trim_heap() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

int64_t fail_allocations(int64_t seed, double probability, int64_t after) {
    if (!(probability >= 0 && probability <= 1)) {
        fail(DG_ERR_ARGUMENT, "probability: %g is not in 0..1", probability);
    }
    Failures& f = failures();
    const std::lock_guard<std::mutex> lock(f.mutex);
    f.random.seed(static_cast<uint64_t>(seed));
    f.probability      = probability;
    f.after            = after;
    const int64_t past = f.allocations;
    f.allocations      = 0;
    return past;
}

}  // namespace dg
