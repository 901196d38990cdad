// The weights of one component. Modules declare the weights they need, by name and shape. Then all weights are allocated on a
// device and loaded from the files.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/memory.h"
#include "model/mapping.h"
#include "model/source.h"
#include "model/weight_cache.h"

namespace dg {

// The types that weights have in memory.
struct TypePolicy {
    ggml_type matrix = GGML_TYPE_COUNT;  // of linear layers; COUNT: the file's type if it is quantized, else `dense`
    ggml_type dense  = GGML_TYPE_F16;  // of convolutions, tables and layers kept out of quantization
    bool pack_convolutions = false;  // lay kernels out for the CPU convolution of kernels/conv2d.h
};

struct Linear {
    ggml_tensor* weight = nullptr;  // [in, out]
    ggml_tensor* bias   = nullptr;  // [out] or NULL
};

struct Conv2d {
    ggml_tensor* weight = nullptr;  // [kw*kh*in, out], or packed
    ggml_tensor* bias   = nullptr;
    int64_t kernel = 0, in = 0, out = 0;
    bool packed = false;
};

struct Norm {
    ggml_tensor* weight = nullptr;
    ggml_tensor* bias   = nullptr;
};

// A layer of a component: it has a weight, and may have a bias.
struct Module {
    std::string name;  // canonical
    int32_t kind;  // DG_MODULE_*
    int64_t in, out, kernel;
    ggml_tensor* weight;  // in memory
    Conv2d conv;  // of a convolution
    const SourceTensor* source;
    bool bias;  // it has one
};

class WeightStream;

class Params {
public:
    Params(const Source& source, const TypePolicy& policy, std::string component);
    ~Params();

    // Declarations. A tensor that is missing or has another shape is an Error with the file, the tensor and the shapes.
    // `sensitive` layers are never quantized: they are small, and every other layer depends on them (time and label embeddings).
    Linear linear(const std::string& name, int64_t in, int64_t out, bool bias = true, bool sensitive = false);
    Conv2d conv2d(const std::string& name, int64_t kernel, int64_t in, int64_t out, bool bias = true);
    Norm norm(const std::string& name, int64_t size);
    ggml_tensor* vector(const std::string& name, int64_t size);  // F32
    ggml_tensor* table(const std::string& name, int64_t width, int64_t rows);

    struct Place {
        ggml_backend_t backend;  // must outlive the weights
        std::string device_id;
        bool cpu;
        int32_t residency;  // DG_RESIDENT_*
        int64_t stream_bytes;  // 0: the default
        MemoryAccount* account;
        int component;  // its index
        WeightCacheConfig cache = {};
    };
    // Decides where the weights will be and which account counts them. Call it once, after the last declaration. A weight that
    // cannot be there is an Error. Before load(), tensors have a false address: graphs can be built and measured, not computed.
    void place(const Place& place);

    // Allocates, reads and converts all weights that stay in memory, on several threads, with a log line every second. If
    // `stop` returns true, it ends with DG_ERR_CANCELLED. After a failure nothing is allocated.
    void load(int32_t threads, const std::function<bool()>& stop);

    // Frees what load() made. No graph may use the weights any more.
    void unload();
    bool loaded() const { return loaded_; }

    // Fails if a mapped file was written to after it was mapped. Called before and after every computation, since the bytes are
    // not copied.
    void check_mapped() const;

    // The stream that reads weights while a graph runs. NULL before load(), and if nothing is streamed.
    WeightStream* stream() const { return stream_.get(); }

    // Reads one tensor, and converts and packs it as it is in memory. Several threads may call this, each with its own reader.
    void read_tensor(size_t index, SourceReader& reader, uint8_t* to) const;
    ggml_tensor* tensor(size_t index) const { return params_[index].tensor; }
    const Source& source() const { return source_; }
    const std::string& component() const { return component_; }

    // All declared layers that have a weight, in the order of declaration.
    std::vector<Module> modules() const;

    // A module's weight from the files, as F32 in PyTorch's order.
    std::vector<float> read_weight(const Module& module) const;

    const TypePolicy& policy() const { return policy_; }

    int64_t tensor_count() const { return static_cast<int64_t>(params_.size()); }
    int64_t parameter_count() const;
    int64_t parameter_bytes() const;
    ggml_type main_type() const;  // the type of most bytes in memory
    ggml_type main_file_type() const;  // the type of most bytes in the files

private:
    struct Param {
        ggml_tensor* tensor;
        const SourceTensor* source;
        Conv2d conv;  // kernel > 0 for packed convolutions
        bool table    = false;
        bool mapped   = false;  // used in the mapped file, without a copy
        bool streamed = false;
    };

    const SourceTensor& want(const std::string& name, std::initializer_list<int64_t> shape);
    ggml_tensor* declare(const SourceTensor& source, ggml_type type, int64_t ne0, int64_t ne1, const std::string& name);
    ggml_type matrix_type(const SourceTensor& source, int64_t in, bool sensitive) const;
    void read_packed(const Param& param, SourceReader& reader, uint8_t* to) const;

    // params_place.cpp
    void refuse_slow_conversions() const;
    void allocate();
    void map_files();
    std::unique_ptr<WeightEntry> cache_entry() const;  // NULL: no cache is wanted
    std::string describe() const;
    void load_resident(int32_t threads, const std::function<bool()>& stop);
    void read_many(const std::vector<size_t>& order, int32_t threads, const std::function<bool()>& stop,
                   const std::function<void(size_t, SourceReader&)>& read) const;

    const Source& source_;
    TypePolicy policy_;
    std::string component_;
    ContextPtr ctx_;
    std::vector<Param> params_;
    std::vector<ggml_tensor*> zeros_;  // biases of zeros: some convolutions need a bias and the files have none

    Place place_{};
    bool loaded_ = false;
    BufferPtr buffer_;
    Held held_;
    int64_t mapped_bytes_ = 0;  // of the files
    struct Mapped {  // a file, and the ggml buffer made of it
        FileMapping file;
        BufferPtr buffer;
        explicit Mapped(const SourceFile& of);
    };
    std::vector<std::unique_ptr<Mapped>> mapped_;
    std::unique_ptr<WeightStream> stream_;
    std::vector<std::unique_ptr<WeightEntry>> finishing_;  // the disk may be at work on them
    std::unique_ptr<WeightEntry> entry_;  // last: it may write what others hold
};

}  // namespace dg
