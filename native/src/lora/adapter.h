// Adapters in memory beside a model, and stacks of adapters for a component's graphs.
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

// The changes of one adapter in host memory, in the types used for computing. It never changes after it is made.
struct Adapter {
    struct Item {
        size_t target;       // the adapter's target number, which selects its weight in dg_lora_use
        int component;       // index of the model's component
        Module module;       // what it changes
        int32_t form;        // DG_LORA_*
        int64_t rank;        // low rank
        bool factors;        // a rotation has b
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

// Ranks are filled up to a multiple of 32, which the BF16 products need (kernels/matmul.h).
inline int64_t filled_rank(int64_t rank) {
    constexpr int64_t kRankStep = 32;
    return (rank + kRankStep - 1) / kRankStep * kRankStep;
}

// The parts of a component that adapters need.
struct AdapterHost {
    const Params* params;
    int component;
};

// Reads and checks all targets, on at most `threads` threads. Errors name the module.
AdapterPtr load_adapter(const std::vector<AdapterHost>& hosts, const std::vector<dg_lora_target>& targets,
                        int32_t threads, MemoryAccount* account);

// The same from shapes alone. It has no values: graphs with it can be measured only. Changes of other components are left out.
AdapterPtr shape_adapter(const std::vector<AdapterHost>& hosts, const dg_lora_shape* shapes, int64_t count);

// How adapters change one module. The low-rank parts of all adapters stand side by side, so that one product serves all A and
// one serves all B. `at` is a place in the vector of scales.
struct AppliedChange {
    int64_t rank   = 0;  // of all adapters together, filled up with zeros; 0: none is low rank
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

// Several adapters on one component, on its device. The adapters' weights change only the scales, which are an input of every
// graph.
class AdapterStack {
public:
    AdapterStack(std::vector<AdapterPtr> adapters, int component, const TypePolicy& policy, ggml_backend_t backend,
                 const std::string& device_id, MemoryAccount* account);
    // For measuring: its tensors have shapes, and no memory.
    AdapterStack(AdapterPtr shapes, int component, const TypePolicy& policy);

    const AppliedChange* find(const ggml_tensor* weight) const;
    const std::vector<AdapterPtr>& adapters() const { return adapters_; }

    // The vector of scales. `weights` has one entry for each adapter, in the order of adapters(): its weight for each target.
    std::vector<float> scales(const std::vector<const float*>& weights) const;
    int64_t scale_count() const { return static_cast<int64_t>(places_.size()); }
    // The largest number of tensors that rotations add to a graph. BOFT has many stages.
    size_t more_nodes() const { return stages_ * kNodesOfStage; }
    int64_t id() const { return id_; }  // no two stacks of a process have the same
    int64_t bytes() const;

private:
    struct Place {
        size_t adapter, target;
        bool used;  // false: a rank of zeros that fills up
    };
    class Builder;
    void declare(Builder& builder, int component);

    std::vector<AdapterPtr> adapters_;
    std::vector<Place> places_;
    std::unordered_map<const ggml_tensor*, AppliedChange> changes_;
    ContextPtr ctx_;
    BufferPtr buffer_;
    Held held_;
    static constexpr size_t kNodesOfStage = 24;
    size_t stages_                        = 0;  // of all rotations
    int64_t id_                           = 0;
};

}  // namespace dg
