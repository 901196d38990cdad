// Builds and runs one ggml graph on one device. Inputs and outputs have an order. The compute buffer is kept while the shape
// stays the same. A graph can be measured exactly and cancelled.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backend/device.h"
#include "backend/host_stage.h"
#include "backend/memory.h"
#include "backend/profile.h"
#include "kernels/pack_picture.h"
#include "kernels/token_form.h"

namespace dg {

// Properties of the device and the model that decide how modules build their graphs.
struct Traits {
    bool exact              = false;  // erf GELU, F32 products
    bool bf16               = false;  // activations may be rounded to BF16 for products
    bool flash_attention    = false;
    bool cpu                = false;  // custom CPU kernels may be used
    bool direct_convolution = false;  // on other devices: by ggml's kernel, without columns in memory
    int64_t attention_bytes = 0;  // bytes of attention scores in memory at a time; 0: all
    int32_t wrap            = 0;  // DG_WRAP_* bits: the axes along which convolutions wrap around
    size_t more_nodes       = 0;  // added by adapters to the largest number of nodes
};

class AdapterStack;

// How a tensor is packed, and each form that a layer has wanted so far.
struct Packing {
    std::function<ggml_tensor*(TokenForm)> make;
    ggml_tensor* made[2] = {nullptr, nullptr};

    ggml_tensor* get(TokenForm form) {
        ggml_tensor*& tensor = made[static_cast<int>(form)];
        return tensor        = tensor != nullptr ? tensor : make(form);
    }
};

// What a product was made of.
struct ProductOf {
    ggml_tensor *weight, *packed, *bias;
};

// A graph under construction. Tensors live in ctx and have no data until the graph is allocated.
class GraphBuilder {
public:
    GraphBuilder(ggml_context* context, ggml_backend_t backend, const Traits& traits)
        : ctx(context),
          backend(backend),
          traits(traits) {}

    ggml_tensor* input(ggml_type type, int64_t ne0, int64_t ne1 = 1, int64_t ne2 = 1, int64_t ne3 = 1);
    void output(ggml_tensor* tensor);
    // A node that writes into a tensor outside the graph. It is computed as early as possible.
    void effect(ggml_tensor* tensor) { effects.push_back(tensor); }

    ggml_context* const ctx;
    const ggml_backend_t backend;
    const Traits traits;
    std::vector<ggml_tensor*> inputs;
    std::vector<ggml_tensor*> outputs;
    std::vector<ggml_tensor*> effects;
    const AdapterStack* adapters = nullptr;  // what is applied to the layers (lora/apply.h)
    ggml_tensor* adapter_scales  = nullptr;  // its scales, an input

    int without_direct = 0;  // convolutions that the device's direct kernel does not take

    // For a tensor, what CPU kernels can read in its place: the tensor packed as by kernels/pack_tokens.h; its factors, if it is a
    // product; the picture before its norm, and the norm; the picture before it was doubled.
    std::unordered_map<const ggml_tensor*, Packing> packed;
    std::unordered_map<const ggml_tensor*, ProductOf> products;
    std::unordered_map<const ggml_tensor*, std::pair<ggml_tensor*, PictureNorm>> normed;
    std::unordered_map<const ggml_tensor*, ggml_tensor*> doubled;
};

using BuildFunction = std::function<void(GraphBuilder&)>;

struct HostInput {
    const void* data;
    size_t bytes;
};
struct HostOutput {
    float* data;
    size_t count;
};

// Copies between host and device.
struct Transfers {
    int64_t runs = 0, uploads = 0, upload_bytes = 0, downloads = 0, download_bytes = 0;
};

// One backend instance: device, threads, cancel flag.
class Worker {
public:
    Worker(const Device& device, int32_t threads, const std::atomic<bool>* cancel);

    ggml_backend_t backend() const { return backend_.get(); }
    const Device& device() const { return device_; }
    bool cpu() const { return is_cpu(device_); }
    int32_t threads() const { return threads_; }

private:
    const Device& device_;
    const int32_t threads_;
    BackendPtr backend_;
};

// Weights that do not fit into memory together. A graph runs in segments; the weights of a segment are read before it runs.
class SegmentedWeights {
public:
    virtual ~SegmentedWeights() = default;

    // Sets the graph for the next runs. It must be allocated.
    virtual void attach(ggml_cgraph* graph) = 0;
    virtual size_t segments() const         = 0;

    // Waits until the weights of a segment are in memory; returns the segment's nodes, [first, last). Called for 0 to
    // segments()-1 in order, each time after the segment before was computed.
    virtual std::pair<int, int> acquire(size_t segment, const std::atomic<bool>& cancelled) = 0;

    // Ends a run, also one that did not reach its last segment.
    virtual void finish() noexcept = 0;
};

class GraphRunner {
public:
    GraphRunner(const std::atomic<bool>* cancel, MemoryAccount* account) : cancel_(cancel), account_(account) {}

    // Runs the graph that `build` makes. `key` names the graph: while key and worker stay the same, the graph and its buffer are
    // used again. Inputs and outputs are in the order of GraphBuilder's calls. `weights`: weights that come in segments, or NULL.
    void run(const std::string& key, const Worker& worker, const Traits& traits, const BuildFunction& build,
             const std::vector<HostInput>& inputs, const std::vector<HostOutput>& outputs,
             SegmentedWeights* weights = nullptr);

    // Whether a graph's nodes are so small that lanes compute a batch faster. Allocates no buffer.
    static bool small_nodes(const Worker& worker, const Traits& traits, const BuildFunction& build);

    // Bytes of the compute buffer that the graph would need. Allocates no buffer.
    static size_t measure(const Worker& worker, const Traits& traits, const BuildFunction& build);

    // Calls `look` for every node of the graph that the worker would compute. Allocates no buffer.
    static void inspect(const Worker& worker, const Traits& traits, const BuildFunction& build,
                        const std::function<void(ggml_tensor*)>& look);

    size_t held_bytes() const;
    void release();
    int64_t builds() const { return builds_; }  // graphs built so far
    const Transfers& transfers() const { return transfers_; }
    size_t pinned_bytes() const { return stage_.bytes(); }
    double seconds() const { return seconds_; }  // that the last run computed, without its copies

    Profile& profile() { return profile_; }
    const Profile& profile() const { return profile_; }

private:
    struct Built {
        ContextPtr ctx;
        ggml_cgraph* graph = nullptr;
        int32_t threads    = 1;  // on a CPU
        int without_direct = 0;
        std::vector<ggml_tensor*> inputs, outputs;
    };
    void run_here(const std::string& key, const Worker& worker, const Traits& traits, const BuildFunction& build,
                  const std::vector<HostInput>& inputs, const std::vector<HostOutput>& outputs,
                  SegmentedWeights* weights);
    void check_supported(const std::string& key, const Worker& worker, const Built& built);
    void copy_in(const Worker& worker, const std::vector<HostInput>& inputs);
    void copy_out(const Worker& worker, const std::vector<HostOutput>& outputs);
    static Built build_graph(const Worker& worker, const Traits& traits, const BuildFunction& build);
    static size_t measure(const Worker& worker, ggml_cgraph* graph);
    void prepare(const std::string& key, const Worker& worker, const Traits& traits, const BuildFunction& build,
                 SegmentedWeights* weights);
    ggml_status compute_all(const std::string& stage, const Worker& worker, SegmentedWeights* weights);
    ggml_status compute_part(const std::string& stage, const Worker& worker, ggml_cgraph* graph);

    const std::atomic<bool>* cancel_;
    MemoryAccount* account_;
    std::string key_;
    GallocrPtr allocator_;
    Held held_;
    Built built_;
    Profile profile_;
    int64_t builds_ = 0;
    Transfers transfers_;
    HostStage stage_;
    double seconds_    = 0;
    bool told_columns_ = false;  // of convolutions without a direct kernel
};

}  // namespace dg
