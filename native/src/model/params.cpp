#include "model/params.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "kernels/conv2d.h"
#include "model/types.h"

namespace dg {

namespace {

constexpr size_t kMaxTensors = 8192;  // SDXL base has 2,641 in all

std::string shape_text(const int64_t* ne) {  // in PyTorch's order, trailing ones of ggml dropped
    int last = 3;
    while (last > 0 && ne[last] == 1) {
        last--;
    }
    std::string text = "[";
    for (int i = last; i >= 0; i--) {
        text += std::to_string(ne[i]) + (i > 0 ? ", " : "]");
    }
    return text;
}

}  // namespace

Params::Params(const Source& source, const TypePolicy& policy, std::string component)
    : source_(source),
      policy_(policy),
      component_(std::move(component)) {
    ggml_init_params params;
    params.mem_size   = ggml_tensor_overhead() * kMaxTensors;
    params.mem_buffer = nullptr;
    params.no_alloc   = true;
    ctx_.reset(ggml_init(params));
    if (ctx_ == nullptr) {
        fail(DG_ERR_OUT_OF_MEMORY, "%s: no memory for tensor metadata", component_.c_str());
    }
}

// Finds a tensor and checks its shape. With squeeze, a 1x1 convolution counts as a matrix.
const SourceTensor& Params::want(const std::string& name, std::initializer_list<int64_t> shape, bool squeeze) {
    const SourceTensor* tensor = source_.find(name);
    int64_t expected[4]        = {1, 1, 1, 1};
    std::copy(shape.begin(), shape.end(), expected);
    if (tensor == nullptr) {
        fail(DG_ERR_MODEL, "%s: tensor '%s' of shape %s is missing; the file is incomplete or of another architecture",
             source_.path_of(name).c_str(), name.c_str(), shape_text(expected).c_str());
    }
    int64_t found[4];
    std::copy(tensor->ne, tensor->ne + 4, found);
    if (squeeze && found[0] == 1 && found[1] == 1) {
        found[0] = found[2];
        found[1] = found[3];
        found[2] = found[3] = 1;
    }
    if (!std::equal(found, found + 4, expected)) {
        fail(DG_ERR_MODEL, "%s: tensor '%s' (in the file '%s') has shape %s where %s is wanted",
             source_.path_of(name).c_str(), name.c_str(), tensor->storage.name.c_str(), shape_text(tensor->ne).c_str(),
             shape_text(expected).c_str());
    }
    return *tensor;
}

ggml_tensor* Params::declare(const SourceTensor& source, ggml_type type, int64_t ne0, int64_t ne1,
                             const std::string& name) {
    if (params_.size() + 1 >= kMaxTensors) {
        fail(DG_ERR_MODEL, "%s: more than %zu tensors", component_.c_str(), kMaxTensors);
    }
    ggml_tensor* tensor =
        ne1 > 0 ? ggml_new_tensor_2d(ctx_.get(), type, ne0, ne1) : ggml_new_tensor_1d(ctx_.get(), type, ne0);
    ggml_set_name(tensor, name.c_str());
    params_.push_back({tensor, &source, {}});
    return tensor;
}

ggml_type Params::matrix_type(const SourceTensor& source, int64_t in, bool sensitive) const {
    ggml_type type = policy_.matrix;
    if (type == GGML_TYPE_COUNT) {
        type = ggml_is_quantized(source.storage.type) ? source.storage.type : policy_.dense;
    }
    if (!ggml_is_quantized(type)) {
        return type;
    }
    if (sensitive) {
        return policy_.dense;
    }
    if (in % ggml_blck_size(type) != 0) {
        return in % ggml_blck_size(GGML_TYPE_Q8_0) == 0 ? GGML_TYPE_Q8_0 : policy_.dense;
    }
    return type;
}

Linear Params::linear(const std::string& name, int64_t in, int64_t out, bool bias, bool sensitive) {
    Linear layer;
    const SourceTensor& weight = want(name + ".weight", {in, out}, true);
    layer.weight               = declare(weight, matrix_type(weight, in, sensitive), in, out, name + ".weight");
    if (bias) {
        layer.bias = declare(want(name + ".bias", {out}, false), GGML_TYPE_F32, out, 0, name + ".bias");
    }
    return layer;
}

Conv2d Params::conv2d(const std::string& name, int64_t kernel, int64_t in, int64_t out, bool bias) {
    Conv2d layer;
    layer.kernel               = kernel;
    layer.in                   = in;
    layer.out                  = out;
    layer.packed               = policy_.pack_convolutions;
    const SourceTensor& weight = want(name + ".weight", {kernel, kernel, in, out}, false);
    layer.weight        = layer.packed ? declare(weight, policy_.dense, conv_packed_columns(policy_.dense, kernel, in),
                                                 conv_packed_rows(policy_.dense, out), name + ".weight")
                                       : declare(weight, policy_.dense, kernel * kernel * in, out, name + ".weight");
    params_.back().conv = layer;
    if (bias) {
        layer.bias = declare(want(name + ".bias", {out}, false), GGML_TYPE_F32, out, 0, name + ".bias");
    } else {
        layer.bias = ggml_new_tensor_1d(ctx_.get(), GGML_TYPE_F32, out);
        zeros_.push_back(layer.bias);
    }
    return layer;
}

Norm Params::norm(const std::string& name, int64_t size) {
    Norm layer;
    layer.weight = declare(want(name + ".weight", {size}, false), GGML_TYPE_F32, size, 0, name + ".weight");
    layer.bias   = declare(want(name + ".bias", {size}, false), GGML_TYPE_F32, size, 0, name + ".bias");
    return layer;
}

ggml_tensor* Params::table(const std::string& name, int64_t width, int64_t rows) {
    return declare(want(name, {width, rows}, false), policy_.dense, width, rows, name);
}

void Params::place(ggml_backend_t backend, const std::string& device_id, MemoryAccount* account, int component) {
    backend_   = backend;
    device_id_ = device_id;
    account_   = account;
    index_     = component;
    put_nowhere();
}

// ggml's allocator gives memory to what has no data.
void Params::put_nowhere() {
    void* const nowhere = reinterpret_cast<void*>(uintptr_t{64});
    for (ggml_tensor* t = ggml_get_first_tensor(ctx_.get()); t != nullptr; t = ggml_get_next_tensor(ctx_.get(), t)) {
        t->data   = nowhere;
        t->buffer = nullptr;
    }
}

void Params::allocate() {
    const auto bytes = static_cast<size_t>(parameter_bytes());
    check_allocation("weights of the " + component_, bytes, device_id_);
    for (ggml_tensor* t = ggml_get_first_tensor(ctx_.get()); t != nullptr; t = ggml_get_next_tensor(ctx_.get(), t)) {
        t->data = nullptr;
    }
    buffer_.reset(ggml_backend_alloc_ctx_tensors(ctx_.get(), backend_));
    if (buffer_ == nullptr) {
        out_of_memory("weights of the " + component_, bytes, device_id_);
    }
    held_ = Held(account_, MemoryAccount::kWeights + index_,
                 static_cast<int64_t>(ggml_backend_buffer_get_size(buffer_.get())));
    ggml_backend_buffer_set_usage(buffer_.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    for (ggml_tensor* zeros : zeros_) {
        ggml_backend_tensor_memset(zeros, 0, 0, ggml_nbytes(zeros));
    }
}

void Params::load_one(const Param& param, SourceReader& reader, std::vector<uint8_t>& scratch) const {
    ggml_type type;
    const void* data = reader.read(*param.source, &type);
    if (param.conv.packed) {
        const int64_t n = param.source->elements();
        std::vector<uint8_t> plain(static_cast<size_t>(n) * ggml_type_size(param.tensor->type));
        convert_rows(data, type, plain.data(), param.tensor->type, 1, n);
        scratch.resize(ggml_nbytes(param.tensor));
        conv_pack(plain.data(), param.tensor->type, param.conv.kernel, param.conv.in, param.conv.out, scratch.data());
        ggml_backend_tensor_set(param.tensor, scratch.data(), 0, scratch.size());
        return;
    }
    const size_t bytes = ggml_nbytes(param.tensor);
    if (type == param.tensor->type) {
        ggml_backend_tensor_set(param.tensor, data, 0, bytes);
        return;
    }
    const int64_t row = param.tensor->ne[0];
    scratch.resize(bytes);
    convert_rows(data, type, scratch.data(), param.tensor->type, ggml_nelements(param.tensor) / row, row);
    ggml_backend_tensor_set(param.tensor, scratch.data(), 0, bytes);
}

void Params::load(int32_t threads, const std::function<bool()>& stop) {
    if (loaded_) {
        return;
    }
    try {
        allocate();
        read_all(threads, stop);
    } catch (...) {
        unload();
        throw;
    }
    loaded_ = true;
    account_->set_loaded(index_, true);
}

void Params::unload() {
    loaded_ = false;
    account_->set_loaded(index_, false);
    buffer_.reset();
    held_ = Held();
    put_nowhere();
    trim_heap();
}

void Params::read_all(int32_t threads, const std::function<bool()>& stop_wanted) {
    std::vector<const Param*> order;  // by file and offset, so that a disk reads forward
    for (const Param& p : params_) {
        order.push_back(&p);
    }
    std::sort(order.begin(), order.end(), [](const Param* a, const Param* b) {
        return std::make_pair(a->source->file, a->source->storage.offset) <
               std::make_pair(b->source->file, b->source->storage.offset);
    });
    std::atomic<size_t> next{0};
    std::atomic<bool> stop{false};
    std::atomic<int64_t> done{0};
    const double total = static_cast<double>(parameter_bytes());
    auto last_line     = std::chrono::steady_clock::now();
    std::exception_ptr failure;
    std::mutex failure_mutex;
    const auto work = [&](bool reports) {
        try {
            SourceReader reader(source_);
            std::vector<uint8_t> scratch;
            for (size_t i = next++; i < order.size() && !stop; i = next++) {
                if (stop_wanted()) {
                    fail(DG_ERR_CANCELLED, "cancelled while loading %s", component_.c_str());
                }
                load_one(*order[i], reader, scratch);
                done += static_cast<int64_t>(ggml_nbytes(order[i]->tensor));
                const auto now = std::chrono::steady_clock::now();
                if (reports && now - last_line >= std::chrono::seconds(1)) {
                    last_line = now;
                    log(DG_LOG_INFO, "loading %s: %.0f %% of %.1f MiB", component_.c_str(),
                        100.0 * static_cast<double>(done.load()) / total, total / (1024.0 * 1024.0));
                }
            }
        } catch (...) {
            std::lock_guard<std::mutex> lock(failure_mutex);
            if (failure == nullptr) {
                failure = std::current_exception();
            }
            stop = true;
        }
    };
    std::vector<std::thread> pool;
    for (int32_t i = 1; i < threads; i++) {
        pool.emplace_back(work, false);
    }
    work(true);
    for (std::thread& t : pool) {
        t.join();
    }
    if (failure != nullptr) {
        std::rethrow_exception(failure);
    }
}

int64_t Params::parameter_count() const {
    int64_t n = 0;
    for (const Param& p : params_) {
        n += p.source->elements();
    }
    return n;
}

int64_t Params::parameter_bytes() const {
    int64_t n = 0;
    for (const Param& p : params_) {
        n += static_cast<int64_t>(ggml_nbytes(p.tensor));
    }
    return n;
}

static ggml_type most(const std::map<ggml_type, int64_t>& bytes) {
    ggml_type best = GGML_TYPE_F32;
    int64_t size   = -1;
    for (const auto& [type, n] : bytes) {
        if (n > size) {
            best = type;
            size = n;
        }
    }
    return best;
}

ggml_type Params::main_type() const {
    std::map<ggml_type, int64_t> bytes;
    for (const Param& p : params_) {
        bytes[p.tensor->type] += static_cast<int64_t>(ggml_nbytes(p.tensor));
    }
    return most(bytes);
}

ggml_type Params::main_file_type() const {
    std::map<ggml_type, int64_t> bytes;
    for (const Param& p : params_) {
        bytes[p.source->storage.type] += p.source->storage.nbytes() / p.source->mapping.parts;
    }
    return most(bytes);
}

std::vector<Module> Params::modules() const {
    std::vector<Module> out;
    const std::string suffix = ".weight";
    for (const Param& p : params_) {
        const std::string name = p.tensor->name;
        if (name.size() <= suffix.size() || name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0) {
            continue;
        }
        Module m{name.substr(0, name.size() - suffix.size()),
                 DG_MODULE_LINEAR,
                 p.tensor->ne[0],
                 p.tensor->ne[1],
                 0,
                 p.tensor,
                 p.conv,
                 p.source};
        if (p.conv.kernel > 0) {
            m.kind   = DG_MODULE_CONV2D;
            m.in     = p.conv.in;
            m.out    = p.conv.out;
            m.kernel = p.conv.kernel;
        } else if (name.find("embedding.weight") != std::string::npos) {
            m.kind = DG_MODULE_EMBEDDING;
            std::swap(m.in, m.out);
        } else if (ggml_n_dims(p.tensor) == 1) {
            m.kind = DG_MODULE_NORM;
            m.out  = m.in;
        }
        out.push_back(m);
    }
    return out;
}

std::vector<float> Params::read_weight(const Module& module) const {
    SourceReader reader(source_);
    ggml_type type;
    const void* data = reader.read(*module.source, &type);
    const int64_t n  = module.source->elements();
    std::vector<float> values(static_cast<size_t>(n));
    convert_rows(data, type, values.data(), GGML_TYPE_F32, n / module.source->ne[0], module.source->ne[0]);
    return values;
}

}  // namespace dg
