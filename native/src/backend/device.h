// Devices as ggml reports them, under the stable names that options use ("cpu", "vulkan:0").
#pragma once

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "daguerre.h"
#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml.h"

namespace dg {

// They do not throw. A driver that has lost its device cannot even give back what it holds: then it is left there, with a warning.
struct BackendFree {
    void operator()(ggml_backend_t b) const noexcept;
};
struct BufferFree {
    void operator()(ggml_backend_buffer_t b) const noexcept;
};
struct ContextFree {
    void operator()(ggml_context* c) const { ggml_free(c); }
};
struct GallocrFree {
    void operator()(ggml_gallocr_t g) const { ggml_gallocr_free(g); }
};
using BackendPtr = std::shared_ptr<std::remove_pointer_t<ggml_backend_t>>;
using BufferPtr  = std::unique_ptr<std::remove_pointer_t<ggml_backend_buffer_t>, BufferFree>;
using ContextPtr = std::unique_ptr<ggml_context, ContextFree>;

// Gives a context's tensors a false address: ggml's allocator would give memory to tensors without data.
void put_nowhere(ggml_context* ctx);

using GallocrPtr = std::unique_ptr<std::remove_pointer_t<ggml_gallocr_t>, GallocrFree>;

struct Device {
    ggml_backend_dev_t dev;
    std::string id;
    std::string description;
    int32_t kind;
    bool is_software;
    std::string driver;  // name and version; empty if it is not known
    int64_t max_tensor_bytes = 0, max_buffer_bytes = 0;  // 0: memory is the limit
};

// All devices, the CPU last as ggml registers it.
const std::vector<Device>& devices();

void device_memory(const Device& device, int64_t* free_bytes, int64_t* total_bytes);

// The device an option names; "" and "auto" mean the best real one. Unknown names are an Error that
// lists the known ones.
const Device& find_device(const std::string& name);

bool is_cpu(const Device& device);

// Physical cores this process may use.
int32_t default_threads();

// Space-separated instruction sets: of this build and of this CPU.
std::string built_features();
std::string cpu_features();
bool cpu_runs_this_build();
bool cpu_has_fast_bf16();

}  // namespace dg
