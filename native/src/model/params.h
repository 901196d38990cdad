// The weights of one component: modules declare what they need by name and shape, then all of it is
// allocated on a device and loaded from the files.
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

namespace dg {

// Which types weights get in memory.
struct TypePolicy {
    ggml_type matrix       = GGML_TYPE_COUNT;  // of linear layers; COUNT: the file's if quantized, else `dense`
    ggml_type dense        = GGML_TYPE_F16;    // of convolutions, tables and layers kept out of quantization
    bool pack_convolutions = false;      // lay kernels out for the CPU convolution of kernels/conv2d.h
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

// A part of a component that holds a weight, and perhaps a bias.
struct Module {
    std::string name;  // canonical
    int32_t kind;      // DG_MODULE_*
    int64_t in, out, kernel;
    ggml_tensor* weight;  // in memory
    Conv2d conv;          // of a convolution
    const SourceTensor* source;
    bool bias;  // it has one
};

class WeightStream;

class Params {
public:
    Params(const Source& source, const TypePolicy& policy, std::string component);
    ~Params();

    // Declarations. A tensor that is missing or of another shape is an Error naming file, tensor, shapes.
    // `sensitive` layers are small and steer everything (time and label embeddings): never quantized.
    Linear linear(const std::string& name, int64_t in, int64_t out, bool bias = true, bool sensitive = false);
    Conv2d conv2d(const std::string& name, int64_t kernel, int64_t in, int64_t out, bool bias = true);
    Norm norm(const std::string& name, int64_t size);
    ggml_tensor* table(const std::string& name, int64_t width, int64_t rows);

    struct Place {
        ggml_backend_t backend;  // must outlive the weights
        std::string device_id;
        bool cpu;
        int32_t residency;     // DG_RESIDENT_*
        int64_t stream_bytes;  // 0: the default
        MemoryAccount* account;
        int component;  // its index
    };
    // Where the weights will be and who counts them; once, after the last declaration. What cannot be there is an Error.
    // Until they are loaded, tensors have a place that is nowhere: graphs can be built and measured, not computed.
    void place(const Place& place);

    // Allocates, reads and converts on several threads, with a log line every second, all that stays in memory. Where `stop`
    // says so it ends with DG_ERR_CANCELLED. After any failure nothing is allocated.
    void load(int32_t threads, const std::function<bool()>& stop);

    // Frees what load made. Graphs that read the weights must be gone.
    void unload();
    bool loaded() const { return loaded_; }

    // Refuses a mapped file that was written to since it was mapped. Around every computation: the bytes are not copied.
    void check_mapped() const;

    // What brings streamed weights in while a graph runs, once they are loaded; NULL where nothing is streamed.
    WeightStream* stream() const { return stream_.get(); }

    // One tensor, converted and packed as it is in memory. Tensors of the same Params may be read by several threads, with a
    // reader each.
    void read_tensor(size_t index, SourceReader& reader, uint8_t* to) const;
    ggml_tensor* tensor(size_t index) const { return params_[index].tensor; }
    const Source& source() const { return source_; }
    const std::string& component() const { return component_; }

    // Everything declared that has a weight, in the order of declaration.
    std::vector<Module> modules() const;

    // A module's weight from the files, as F32 in PyTorch's order.
    std::vector<float> read_weight(const Module& module) const;

    const TypePolicy& policy() const { return policy_; }

    int64_t tensor_count() const { return static_cast<int64_t>(params_.size()); }
    int64_t parameter_count() const;
    int64_t parameter_bytes() const;
    ggml_type main_type() const;  // of most bytes in memory
    ggml_type main_file_type() const;  // of most bytes in the files

private:
    struct Param {
        ggml_tensor* tensor;
        const SourceTensor* source;
        Conv2d conv;  // kernel > 0 for packed convolutions
        bool table    = false;
        bool mapped   = false;  // used in the mapped file
        bool streamed = false;
    };

    const SourceTensor& want(const std::string& name, std::initializer_list<int64_t> shape);
    ggml_tensor* declare(const SourceTensor& source, ggml_type type, int64_t ne0, int64_t ne1, const std::string& name);
    ggml_type matrix_type(const SourceTensor& source, int64_t in, bool sensitive) const;
    void read_packed(const Param& param, SourceReader& reader, uint8_t* to) const;

    // params_place.cpp
    void refuse_slow_conversions() const;
    void put_nowhere();
    void allocate();
    void map_files();
    void load_resident(int32_t threads, const std::function<bool()>& stop);
    void read_many(const std::vector<size_t>& order, int32_t threads, const std::function<bool()>& stop,
                   const std::function<void(size_t, SourceReader&)>& read) const;

    const Source& source_;
    TypePolicy policy_;
    std::string component_;
    ContextPtr ctx_;
    std::vector<Param> params_;
    std::vector<ggml_tensor*> zeros_;  // biases that the files do not have and the convolutions want

    Place place_{};
    bool loaded_ = false;
    BufferPtr buffer_;
    Held held_;
    struct Mapped {  // a file, and the buffer that ggml takes it for
        FileMapping file;
        BufferPtr buffer;
        explicit Mapped(const SourceFile& of);
    };
    std::vector<std::unique_ptr<Mapped>> mapped_;
    std::unique_ptr<WeightStream> stream_;
};

}  // namespace dg
