#include "backend/device.h"

#include <algorithm>
#include <cctype>
#include <exception>
#include <thread>
#include <utility>

#include "backend/driver.h"
#include "base/cpuid.h"
#include "base/error.h"
#include "base/host.h"
#include "base/log.h"
#include "ggml-cpu.h"

namespace dg {

namespace {

// ggml waits for a device before it frees something, and throws if that fails.
template <typename Free>
void free_quietly(const char* what, const Free& free) noexcept {
    try {
        free();
    } catch (const std::exception& e) {
        log(DG_LOG_WARN, "%s was not given back: %s", what, e.what());
    }
}

int32_t kind_of(ggml_backend_dev_t dev) {
    switch (ggml_backend_dev_type(dev)) {
        case GGML_BACKEND_DEVICE_TYPE_CPU: return DG_DEVICE_CPU;
        case GGML_BACKEND_DEVICE_TYPE_GPU: return DG_DEVICE_GPU;
        case GGML_BACKEND_DEVICE_TYPE_IGPU: return DG_DEVICE_IGPU;
        default: return DG_DEVICE_ACCEL;
    }
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

// ggml names devices "CPU", "Vulkan0", "CUDA1".
std::string device_id(const std::string& name) {
    const std::string text = lower(name);
    const size_t digits    = text.find_first_of("0123456789");
    if (digits == std::string::npos || digits == 0) {
        return text;
    }
    return text.substr(0, digits) + ":" + text.substr(digits);
}

bool looks_like_software(const std::string& description) {
    const std::string text = lower(description);
    const auto names       = {"llvmpipe", "lavapipe", "swiftshader", "software"};
    return std::any_of(names.begin(), names.end(), [&](auto name) { return text.find(name) != std::string::npos; });
}

std::vector<Device> list_devices() {
    std::vector<Device> list;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        Device d;
        d.dev         = dev;
        d.id          = device_id(ggml_backend_dev_name(dev));
        d.description = ggml_backend_dev_description(dev);
        d.kind        = kind_of(dev);
        d.is_software = d.kind != DG_DEVICE_CPU && looks_like_software(d.description);
        if (d.kind != DG_DEVICE_CPU) {
            const DriverInfo driver = driver_of(dev);
            d.driver                = driver.name;
            d.max_tensor_bytes      = driver.max_tensor_bytes;
            d.max_buffer_bytes      = driver.max_buffer_bytes;
        }
        list.push_back(std::move(d));
    }
    return list;
}

struct Feature {
    const char* name;
    bool built;
    bool present;
};

// `built` is what ggml's CPU backend says: it may be compiled for other instruction sets than this file.
std::vector<Feature> features() {
#if defined(__x86_64__)
    const CpuSets& cpu = cpu_sets();
    return {
        {"avx", ggml_cpu_has_avx() != 0, cpu.avx},
        {"avx2", ggml_cpu_has_avx2() != 0, cpu.avx2},
        {"fma", ggml_cpu_has_fma() != 0, cpu.fma},
        {"avx512f", ggml_cpu_has_avx512() != 0, cpu.avx512f},
        {"avx512_vnni", ggml_cpu_has_avx512_vnni() != 0, cpu.avx512_vnni},
        {"avx512_bf16", ggml_cpu_has_avx512_bf16() != 0, cpu.avx512_bf16},
    };
#elif defined(__aarch64__)
    const CpuSets& cpu = cpu_sets();
    return {
        {"neon", ggml_cpu_has_neon() != 0, true},
        {"dotprod", ggml_cpu_has_dotprod() != 0, cpu.dotprod},
        {"i8mm", ggml_cpu_has_matmul_int8() != 0, cpu.i8mm},
        {"sve", ggml_cpu_has_sve() != 0, cpu.sve},
    };
#else
    return {};
#endif
}

}  // namespace

void put_nowhere(ggml_context* ctx) {
    void* const nowhere = reinterpret_cast<void*>(uintptr_t{64});
    for (ggml_tensor* t = ggml_get_first_tensor(ctx); t != nullptr; t = ggml_get_next_tensor(ctx, t)) {
        t->data   = nowhere;
        t->buffer = nullptr;
    }
}

void BackendFree::operator()(ggml_backend_t b) const noexcept {
    free_quietly("a device", [&] { ggml_backend_free(b); });
}

void BufferFree::operator()(ggml_backend_buffer_t b) const noexcept {
    free_quietly("a buffer", [&] { ggml_backend_buffer_free(b); });
}

const std::vector<Device>& devices() {
    static const std::vector<Device> list = list_devices();
    return list;
}

void device_memory(const Device& device, int64_t* free_bytes, int64_t* total_bytes) {
    size_t free = 0, total = 0;
    ggml_backend_dev_memory(device.dev, &free, &total);
    *free_bytes  = static_cast<int64_t>(free);
    *total_bytes = static_cast<int64_t>(total);
    if (is_cpu(device)) {  // ggml reports all memory as free; the system's own estimate is better
        host_memory(free_bytes, total_bytes);
    }
}

const Device& find_device(const std::string& name) {
    const std::vector<Device>& list = devices();
    if (name.empty() || name == "auto") {
        const Device* best = nullptr;
        for (const Device& d : list) {
            const bool gpu = (d.kind == DG_DEVICE_GPU || d.kind == DG_DEVICE_IGPU) && !d.is_software;
            if (best == nullptr ? (gpu || d.kind == DG_DEVICE_CPU) : (gpu && best->kind == DG_DEVICE_CPU)) {
                best = &d;
            }
        }
        if (best != nullptr) {
            return *best;
        }
    }
    std::string known;
    for (const Device& d : list) {
        if (d.id == name) {
            return d;
        }
        known += (known.empty() ? "" : ", ") + d.id;
    }
    fail(DG_ERR_DEVICE, "device: '%s' is not one of this machine's devices: %s", name.c_str(), known.c_str());
}

bool is_cpu(const Device& device) {
    return device.kind == DG_DEVICE_CPU;
}

int32_t default_threads() {
    const int32_t cores = host_cores();
    return std::max(1, cores > 0 ? cores : static_cast<int32_t>(std::thread::hardware_concurrency()));
}

static std::string names_of(bool Feature::* wanted) {
    std::string text;
    for (const Feature& f : features()) {
        if (f.*wanted) {
            text += (text.empty() ? "" : " ") + std::string(f.name);
        }
    }
    return text;
}

std::string built_features() {
    return names_of(&Feature::built);
}

std::string cpu_features() {
    return names_of(&Feature::present);
}

bool cpu_runs_this_build() {
    for (const Feature& f : features()) {
        if (f.built && !f.present) {
            return false;
        }
    }
    return true;
}

bool cpu_has_fast_bf16() {
    for (const Feature& f : features()) {
        if (std::string(f.name) == "avx512_bf16") {
            return f.built && f.present;
        }
    }
    return false;
}

}  // namespace dg
