#include "model/params.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "base/error.h"
#include "kernels/conv2d.h"
#include "model/stream.h"
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

// Finds a tensor and checks its shape.
const SourceTensor& Params::want(const std::string& name, std::initializer_list<int64_t> shape) {
    const SourceTensor* tensor = source_.find(name);
    int64_t expected[4]        = {1, 1, 1, 1};
    std::copy(shape.begin(), shape.end(), expected);
    if (tensor == nullptr) {
        fail(DG_ERR_MODEL, "%s: tensor '%s' of shape %s is missing; the file is incomplete or of another architecture",
             source_.path_of(name).c_str(), name.c_str(), shape_text(expected).c_str());
    }
    if (!std::equal(tensor->ne, tensor->ne + 4, expected)) {
        fail(DG_ERR_MODEL, "%s: tensor '%s' (in the file '%s') has shape %s where %s is wanted",
             source_.path_of(name).c_str(), name.c_str(), tensor->stored.c_str(), shape_text(tensor->ne).c_str(),
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
    Param param;
    param.tensor = tensor;
    param.source = &source;
    params_.push_back(param);
    return tensor;
}

ggml_type Params::matrix_type(const SourceTensor& source, int64_t in, bool sensitive) const {
    ggml_type type = policy_.matrix;
    if (type == GGML_TYPE_COUNT) {
        // A quantized tensor that was reshaped has rows that are no whole blocks. Quantizing it again would lose more.
        type = ggml_is_quantized(source.type) && in % ggml_blck_size(source.type) == 0 ? source.type : policy_.dense;
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
    const SourceTensor& weight = want(name + ".weight", {in, out});
    layer.weight               = declare(weight, matrix_type(weight, in, sensitive), in, out, name + ".weight");
    if (bias) {
        layer.bias = declare(want(name + ".bias", {out}), GGML_TYPE_F32, out, 0, name + ".bias");
    }
    return layer;
}

Conv2d Params::conv2d(const std::string& name, int64_t kernel, int64_t in, int64_t out, bool bias) {
    Conv2d layer;
    layer.kernel               = kernel;
    layer.in                   = in;
    layer.out                  = out;
    layer.packed               = policy_.pack_convolutions;
    const SourceTensor& weight = want(name + ".weight", {kernel, kernel, in, out});
    layer.weight        = layer.packed ? declare(weight, policy_.dense, conv_packed_columns(policy_.dense, kernel, in),
                                                 conv_packed_rows(out), name + ".weight")
                                       : declare(weight, policy_.dense, kernel * kernel * in, out, name + ".weight");
    params_.back().conv = layer;
    if (bias) {
        layer.bias = declare(want(name + ".bias", {out}), GGML_TYPE_F32, out, 0, name + ".bias");
    } else {
        layer.bias = ggml_new_tensor_1d(ctx_.get(), GGML_TYPE_F32, out);
        zeros_.push_back(layer.bias);
    }
    return layer;
}

Norm Params::norm(const std::string& name, int64_t size) {
    Norm layer;
    layer.weight = declare(want(name + ".weight", {size}), GGML_TYPE_F32, size, 0, name + ".weight");
    layer.bias   = declare(want(name + ".bias", {size}), GGML_TYPE_F32, size, 0, name + ".bias");
    return layer;
}

ggml_tensor* Params::vector(const std::string& name, int64_t size) {
    return declare(want(name, {size}), GGML_TYPE_F32, size, 0, name);
}

ggml_tensor* Params::table(const std::string& name, int64_t width, int64_t rows) {
    ggml_tensor* tensor  = declare(want(name, {width, rows}), policy_.dense, width, rows, name);
    params_.back().table = true;
    return tensor;
}

// Bytes that a thread reads and converts at a time. It needs this memory in addition to the result.
constexpr size_t kPiece = 4 << 20;

void Params::read_packed(const Param& param, SourceReader& reader, uint8_t* to) const {
    const SourceTensor& source = *param.source;
    const Conv2d& conv         = param.conv;
    const ggml_type type       = param.tensor->type;
    const int64_t each         = conv.kernel * conv.kernel * conv.in;  // elements of one output
    const auto columns         = static_cast<size_t>(conv_packed_columns(type, conv.kernel, conv.in));
    ggml_type from             = source.type;
    const void* whole          = nullptr;
    if (!source.plain()) {
        whole = reader.read(source, &from);
    }
    // Outputs are packed this many at a time: every layout has whole tiles of them.
    constexpr int64_t kTiles = 32;
    const size_t row         = ggml_row_size(from, each);
    const int64_t step       = std::max<int64_t>(1, static_cast<int64_t>(kPiece / (row * kTiles))) * kTiles;
    std::vector<uint8_t> raw, plain;
    for (int64_t o = 0; o < conv.out; o += step) {
        const int64_t n  = std::min(step, conv.out - o);
        const void* data = static_cast<const uint8_t*>(whole) + static_cast<size_t>(o) * row;
        if (whole == nullptr) {
            raw.resize(row * static_cast<size_t>(n));
            reader.read_at(source, static_cast<size_t>(o) * row, raw.size(), raw.data());
            data = raw.data();
        }
        if (from != type) {
            plain.resize(ggml_row_size(type, each) * static_cast<size_t>(n));
            reader.convert(source, data, from, plain.data(), type, n, each);
            data = plain.data();
        }
        conv_pack(data, type, conv.kernel, conv.in, n, to + static_cast<size_t>(o) * columns * ggml_type_size(type));
    }
}

void Params::read_tensor(size_t index, SourceReader& reader, uint8_t* to) const {
    const Param& param         = params_[index];
    const SourceTensor& source = *param.source;
    if (param.conv.packed) {
        read_packed(param, reader, to);
        return;
    }
    const ggml_type type = param.tensor->type;
    const int64_t width = param.tensor->ne[0], rows = ggml_nelements(param.tensor) / width;
    if (!source.plain()) {
        ggml_type from;
        const void* data = reader.read(source, &from);
        reader.convert(source, data, from, to, type, rows, width);
        return;
    }
    const ggml_type from = source.type;
    if (from == type) {
        reader.read_at(source, 0, ggml_nbytes(param.tensor), to);
        return;
    }
    const size_t row   = ggml_row_size(from, width);
    const int64_t step = std::max<int64_t>(1, static_cast<int64_t>(kPiece / row));
    std::vector<uint8_t> raw;
    for (int64_t r = 0; r < rows; r += step) {
        const int64_t n = std::min(step, rows - r);
        raw.resize(row * static_cast<size_t>(n));
        reader.read_at(source, static_cast<size_t>(r) * row, raw.size(), raw.data());
        uint8_t* at = to + static_cast<size_t>(r) * ggml_row_size(type, width);
        reader.convert(source, raw.data(), from, at, type, n, width);
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
        bytes[p.source->type] += static_cast<int64_t>(ggml_row_size(p.source->type, p.source->elements()));
    }
    return most(bytes);
}

std::vector<Module> Params::modules() const {
    std::vector<Module> out;
    const std::string suffix = ".weight";
    std::unordered_set<std::string> names;
    for (const Param& p : params_) {
        names.insert(p.tensor->name);
    }
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
                 p.source,
                 names.count(name.substr(0, name.size() - suffix.size()) + ".bias") > 0};
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
