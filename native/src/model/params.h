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
};

class Params {
public:
    Params(const Source& source, const TypePolicy& policy, std::string component);

    // Declarations. A tensor that is missing or of another shape is an Error naming file, tensor, shapes.
    // `sensitive` layers are small and steer everything (time and label embeddings): never quantized.
    Linear linear(const std::string& name, int64_t in, int64_t out, bool bias = true, bool sensitive = false);
    Conv2d conv2d(const std::string& name, int64_t kernel, int64_t in, int64_t out, bool bias = true);
    Norm norm(const std::string& name, int64_t size);
    ggml_tensor* table(const std::string& name, int64_t width, int64_t rows);

    // Where the weights will be and who counts them; once, after the last declaration. The backend must outlive this.
    // Until they are loaded, tensors have a place that is nowhere: graphs can be built and measured, not computed.
    void place(ggml_backend_t backend, const std::string& device_id, MemoryAccount* account, int component);

    // Allocates, reads and converts everything on several threads, with a log line every second. Where `stop` says so it
    // ends with DG_ERR_CANCELLED. After any failure nothing is allocated.
    void load(int32_t threads, const std::function<bool()>& stop);

    // Frees what load made. Graphs that read the weights must be gone.
    void unload();
    bool loaded() const { return loaded_; }

    // Everything declared that has a weight, in the order of declaration.
    std::vector<Module> modules() const;

    // A module's weight from the files, as F32 in PyTorch's order.
    std::vector<float> read_weight(const Module& module) const;

    const TypePolicy& policy() const { return policy_; }

    int64_t tensor_count() const { return static_cast<int64_t>(params_.size()); }
    int64_t parameter_count() const;
    int64_t parameter_bytes() const;
    ggml_type main_type() const;       // of most bytes in memory
    ggml_type main_file_type() const;  // of most bytes in the files

private:
    struct Param {
        ggml_tensor* tensor;
        const SourceTensor* source;
        Conv2d conv;  // kernel > 0 for packed convolutions
    };

    const SourceTensor& want(const std::string& name, std::initializer_list<int64_t> shape, bool squeeze);
    ggml_tensor* declare(const SourceTensor& source, ggml_type type, int64_t ne0, int64_t ne1, const std::string& name);
    ggml_type matrix_type(const SourceTensor& source, int64_t in, bool sensitive) const;
    void load_one(const Param& param, SourceReader& reader, std::vector<uint8_t>& scratch) const;
    void allocate();
    void read_all(int32_t threads, const std::function<bool()>& stop);
    void put_nowhere();

    const Source& source_;
    TypePolicy policy_;
    std::string component_;
    ContextPtr ctx_;
    BufferPtr buffer_;
    Held held_;
    ggml_backend_t backend_ = nullptr;
    std::string device_id_;
    MemoryAccount* account_ = nullptr;
    int index_              = 0;  // of the component
    bool loaded_            = false;
    std::vector<Param> params_;
    std::vector<ggml_tensor*> zeros_;  // biases that the files do not have and the convolutions want
};

}  // namespace dg
