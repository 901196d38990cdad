// Adapters resident beside a model, and stacks of them ready for a component's graphs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/memory.h"
#include "lora/change.h"
#include "model/params.h"

namespace dg {

// One adapter's changes in the types they are computed with, in host memory. It does not change once made.
struct Adapter {
    struct Item {
        size_t target;       // of the adapter: which weight in dg_lora_use it has
        int component;       // index of the model's component
        Module module;       // what it changes
        int32_t form;        // DG_LORA_*
        int64_t rank;        // low rank
        int64_t shape[4];    // Kronecker, rotations
        ggml_type type;      // of a and b; a rotation's factors are F32
        std::vector<uint8_t> a, b;
    };
    std::vector<Item> items;
    size_t targets = 0;
    Held held;

    int64_t bytes() const;
};
using AdapterPtr = std::shared_ptr<const Adapter>;

// A component as adapters see it.
struct AdapterHost {
    const Params* params;
    int component;
};

// Reads and checks all targets, on at most so many threads. Errors name the module.
AdapterPtr load_adapter(const std::vector<AdapterHost>& hosts, const std::vector<dg_lora_target>& targets,
                        int32_t threads, MemoryAccount* account);

// How adapters change one module, with all their low-rank parts side by side: the products with all A are one product, and
// so are those with all B. Places in the vector of scales are given by `at`.
struct AppliedChange {
    int64_t rank   = 0;  // of all together, filled up with zeros; 0: none is low rank
    int64_t at     = 0;  // of the first of `rank` scales
    ggml_tensor* a = nullptr;  // [in, rank], of linear layers
    ggml_tensor* b = nullptr;  // [rank, out]
    Conv2d conv_a, conv_b;  // of convolutions

    struct Other {
        int32_t form;
        int64_t at;
        // dense [in, out], Kronecker [b, a], low rank of inputs [in, r], rotations [n, n, blocks, stages], or a vector
        ggml_tensor* a = nullptr;
        ggml_tensor* b = nullptr;  // Kronecker [d, c], low rank of inputs [r, in], factors of a rotation
        Conv2d conv, conv_b;  // dense, or low rank, of a convolution
    };
    std::vector<Other> others;
};

// Several adapters on one component, on its device. Only the scales, an input of every graph, depend on their weights.
class AdapterStack {
public:
    AdapterStack(std::vector<AdapterPtr> adapters, int component, const TypePolicy& policy, ggml_backend_t backend,
                 const std::string& device_id, MemoryAccount* account);

    const AppliedChange* find(const ggml_tensor* weight) const;
    const std::vector<AdapterPtr>& adapters() const { return adapters_; }

    // One scale for each place, from each adapter's weights per target, in the order of adapters().
    std::vector<float> scales(const std::vector<const float*>& weights) const;
    int64_t scale_count() const { return static_cast<int64_t>(places_.size()); }
    // The most tensors that the rotations add to a graph; butterflies have many stages.
    size_t more_nodes() const { return stages_ * kNodesOfStage; }
    int64_t id() const { return id_; }  // different for every stack of the process
    int64_t bytes() const;

private:
    struct Place {
        size_t adapter, target;
        bool used;  // false where ranks are filled up
    };
    class Builder;

    std::vector<AdapterPtr> adapters_;
    std::vector<Place> places_;
    std::unordered_map<const ggml_tensor*, AppliedChange> changes_;
    ContextPtr ctx_;
    BufferPtr buffer_;
    Held held_;
    static constexpr size_t kNodesOfStage = 24;
    size_t stages_                        = 0;  // of all rotations
    int64_t id_;
};

}  // namespace dg
