#include "model/source.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "model/types.h"

namespace dg {

namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;

// Sets t's type, and the size of one of its blocks in the file, in bytes and in elements.
void set_type(SourceTensor& t, int32_t stored, int64_t* block_bytes, int64_t* block) {
    *block = 1;
    switch (stored) {
        case DG_STORED_F8_E4M3:
        case DG_STORED_F8_E5M2:
            t.type       = GGML_TYPE_F16;
            t.coding     = stored == DG_STORED_F8_E4M3 ? SourceTensor::Coding::F8E4M3 : SourceTensor::Coding::F8E5M2;
            *block_bytes = 1;
            return;
        case GGML_TYPE_F64:
            t.type       = GGML_TYPE_F32;
            t.coding     = SourceTensor::Coding::F64;
            *block_bytes = 8;
            return;
        default: break;
    }
    const auto type = static_cast<ggml_type>(stored);
    const bool real = stored >= 0 && stored < GGML_TYPE_COUNT &&
                      (type == GGML_TYPE_F32 || ggml_get_type_traits(type)->to_float != nullptr);
    if (!real) {
        fail(DG_ERR_UNSUPPORTED, "tensor '%s': weights of the stored type %d cannot be converted", t.stored.c_str(),
             stored);
    }
    t.type       = type;
    *block_bytes = static_cast<int64_t>(ggml_type_size(type));
    *block       = ggml_blck_size(type);
}

SourceTensor read_weight(const dg_weight& w, size_t files) {
    SourceTensor t;
    t.stored         = w.stored == nullptr ? w.name : w.stored;
    const auto wrong = [&](const char* field, int64_t value) {
        fail(DG_ERR_ARGUMENT, "weights: '%s': %s of %lld is not possible", w.name, field,
             static_cast<long long>(value));
    };
    int64_t block_bytes = 0, block = 0;
    set_type(t, w.type, &block_bytes, &block);
    if (w.file < 0 || static_cast<size_t>(w.file) >= files) {
        wrong("file", w.file);
    }
    if (w.dims < 0 || w.dims > 4) {
        wrong("dims", w.dims);
    }
    int64_t elements = 1, last = 0;
    t.in_order = w.strided == 0;
    for (int i = 0; i < w.dims; i++) {
        const int64_t n = w.shape[w.dims - 1 - i], stride = w.strided != 0 ? w.strides[w.dims - 1 - i] : 0;
        if (n < 1 || n > kMaxElements / elements) {
            wrong("shape", n);
        }
        if (stride < 0 || stride > kMaxElements / n) {
            wrong("strides", stride);
        }
        t.ne[i]      = n;
        t.strides[i] = stride;
        elements *= n;
        last += (n - 1) * stride;
    }
    const int64_t span = t.in_order ? elements : last + 1;  // of the tensor in the file, in elements
    if (w.offset < 0 || w.bytes < 0 || w.bytes % block_bytes != 0 || w.bytes / block_bytes * block < span ||
        (t.in_order && (w.bytes / block_bytes * block != elements || t.ne[0] % block != 0))) {
        wrong("bytes", w.bytes);
    }
    if (w.scale_count < 0 || (w.scale_count > 0 && (w.scale == nullptr || elements % w.scale_count != 0)) ||
        (w.scale_count > 0 && t.coding == SourceTensor::Coding::Plain)) {
        wrong("scale_count", w.scale_count);
    }
    t.scale.assign(w.scale, w.scale + w.scale_count);
    t.file   = static_cast<size_t>(w.file);
    t.offset = static_cast<uint64_t>(w.offset);
    t.bytes  = static_cast<uint64_t>(w.bytes);
    return t;
}

float f8(uint8_t v, int mantissa, int bias) {
    const int exponent = (v & 0x7f) >> mantissa;
    const int fraction = v & ((1 << mantissa) - 1);
    const bool four    = mantissa == 3;  // E4M3 has no infinities, and one NaN of each sign
    if (four ? (v & 0x7f) == 0x7f : exponent == 0x1f) {
        return fraction != 0 ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
    }
    const float magnitude =
        exponent == 0 ? std::ldexp(static_cast<float>(fraction), 1 - bias - mantissa)
                      : std::ldexp(static_cast<float>((1 << mantissa) + fraction), exponent - bias - mantissa);
    return (v & 0x80) != 0 ? -magnitude : magnitude;
}

// Decodes types that ggml does not have. The number of elements follows from the number of bytes.
void widen(SourceTensor::Coding coding, const std::vector<uint8_t>& data, std::vector<uint8_t>* to) {
    const size_t n = coding == SourceTensor::Coding::F64 ? data.size() / 8 : data.size();
    to->resize(n * sizeof(float));
    float* out = reinterpret_cast<float*>(to->data());
    for (size_t i = 0; i < n; i++) {
        if (coding == SourceTensor::Coding::F64) {
            double value;
            std::memcpy(&value, data.data() + i * 8, 8);
            out[i] = static_cast<float>(value);
        } else {
            out[i] = coding == SourceTensor::Coding::F8E4M3 ? f8(data[i], 3, 7) : f8(data[i], 2, 15);
        }
    }
}

// Divides values into runs of equal length and multiplies each run by its factor.
void rescale(const std::vector<float>& scale, float* values, int64_t n) {
    const int64_t run = n / static_cast<int64_t>(scale.size());
    for (const float factor : scale) {
        for (int64_t i = 0; i < run; i++) {
            *values++ *= factor;
        }
    }
}

}  // namespace

Source::Source(std::vector<SourceFile> files, const std::vector<dg_weight>& weights) : files_(std::move(files)) {
    for (const dg_weight& w : weights) {
        tensors_[w.name] = read_weight(w, files_.size());
    }
}

const SourceTensor* Source::find(const std::string& name) const {
    const auto it = tensors_.find(name);
    return it == tensors_.end() ? nullptr : &it->second;
}

bool Source::has_prefix(const std::string& prefix) const {
    const auto it = tensors_.lower_bound(prefix);
    return it != tensors_.end() && it->first.compare(0, prefix.size(), prefix) == 0;
}

int64_t Source::dim(const std::string& name, int i) const {
    const SourceTensor* tensor = find(name);
    return tensor == nullptr ? 0 : tensor->ne[i];
}

int64_t Source::count(const std::string& list, const std::string& rest) const {
    int64_t n = 0;
    while (find(dot(list, n) + rest) != nullptr) {
        n++;
    }
    return n;
}

const std::string& Source::path_of(const std::string& name) const {
    if (const SourceTensor* tensor = find(name)) {
        return files_[tensor->file].path;
    }
    const std::string component = name.substr(0, name.find('.') + 1);
    const auto sibling          = tensors_.lower_bound(component);
    if (sibling != tensors_.end() && sibling->first.compare(0, component.size(), component) == 0) {
        return files_[sibling->second.file].path;
    }
    return files_[0].path;
}

SourceReader::SourceReader(const Source& source) : source_(source), open_(source.files().size()) {}

void SourceReader::read_at(const SourceTensor& tensor, size_t offset, size_t bytes, void* to) {
    const std::string& path         = source_.files()[tensor.file].path;
    std::unique_ptr<OpenFile>& file = open_[tensor.file];
    if (file == nullptr) {
        file = std::make_unique<OpenFile>(source_.files()[tensor.file]);
    }
    const size_t start = static_cast<size_t>(tensor.offset) + offset;
    for (size_t done = 0; done < bytes;) {
        FileFailure failure;
        const int64_t got =
            read_file_at(file->handle(), static_cast<uint8_t*>(to) + done, bytes - done, start + done, &failure);
        if (got <= 0) {
            file->check();
            fail(DG_ERR_FILE, "%s: tensor '%s': reading %zu bytes at %zu failed: %s", path.c_str(),
                 tensor.stored.c_str(), bytes, start, got == 0 ? "the file ends before" : failure.reason.c_str());
        }
        done += static_cast<size_t>(got);
    }
    file->check();
}

// Damaged FP8 files often hold NaN. One NaN makes every picture NaN.
void SourceReader::refuse_nan(const SourceTensor& tensor) const {
    const float* values = reinterpret_cast<const float*>(converted_.data());
    for (size_t i = 0; i < raw_.size(); i++) {
        if (!std::isfinite(values[i])) {
            fail(DG_ERR_FORMAT, "%s: tensor '%s': a weight is not a finite number (FP8 %#04x at byte %zu of it)",
                 source_.files()[tensor.file].path.c_str(), tensor.stored.c_str(), raw_[i], i);
        }
    }
}

void SourceReader::convert(const SourceTensor& tensor, const void* data, ggml_type from, void* to, ggml_type type,
                           int64_t rows, int64_t width) const {
    if (type == from || !ggml_is_quantized(type)) {
        convert_rows(data, from, to, type, rows, width);
        return;
    }
    std::vector<float> values(static_cast<size_t>(rows * width));
    convert_rows(data, from, values.data(), GGML_TYPE_F32, rows, width);
    for (const float x : values) {
        if (!std::isfinite(x)) {
            fail(DG_ERR_FORMAT, "%s: tensor '%s': a weight is no finite number, which type %s cannot hold",
                 source_.files()[tensor.file].path.c_str(), tensor.stored.c_str(), ggml_type_name(type));
        }
    }
    convert_rows(values.data(), GGML_TYPE_F32, to, type, rows, width);
}

const void* SourceReader::read(const SourceTensor& tensor, ggml_type* type) {
    raw_.resize(static_cast<size_t>(tensor.bytes));
    read_at(tensor, 0, raw_.size(), raw_.data());
    *type            = tensor.type;
    const void* data = raw_.data();
    if (tensor.coding != SourceTensor::Coding::Plain) {
        widen(tensor.coding, raw_, &converted_);
        *type = GGML_TYPE_F32;
        data  = converted_.data();
        if (tensor.coding != SourceTensor::Coding::F64) {
            refuse_nan(tensor);
        }
    }
    if (tensor.in_order) {
        if (!tensor.scale.empty()) {
            rescale(tensor.scale, reinterpret_cast<float*>(converted_.data()), tensor.elements());
        }
        return data;
    }
    if (*type != GGML_TYPE_F32) {
        const size_t blocks = raw_.size() / ggml_type_size(*type);
        const int64_t n     = static_cast<int64_t>(blocks) * ggml_blck_size(*type);
        converted_.resize(static_cast<size_t>(n) * sizeof(float));
        convert_rows(data, *type, converted_.data(), GGML_TYPE_F32, 1, n);
        data = converted_.data();
    }
    const float* from = static_cast<const float*>(data);
    gathered_.resize(static_cast<size_t>(tensor.elements()));
    size_t at         = 0;
    const int64_t *ne = tensor.ne, *s = tensor.strides;
    for (int64_t l = 0; l < ne[3]; l++) {
        for (int64_t k = 0; k < ne[2]; k++) {
            for (int64_t j = 0; j < ne[1]; j++) {
                for (int64_t i = 0; i < ne[0]; i++) {
                    gathered_[at++] = from[i * s[0] + j * s[1] + k * s[2] + l * s[3]];
                }
            }
        }
    }
    if (!tensor.scale.empty()) {
        rescale(tensor.scale, gathered_.data(), tensor.elements());
    }
    *type = GGML_TYPE_F32;
    return gathered_.data();
}

}  // namespace dg
