// The table of a model's weights under canonical names: file, place in the file, type. The caller makes it from checked
// headers. This code reads a file only when read() asks for a tensor.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daguerre.h"
#include "ggml.h"
#include "model/file.h"

namespace dg {

// One weight. Shapes are ggml's: fastest dimension first.
struct SourceTensor {
    enum class Coding { Plain, F64, F8E4M3, F8E5M2 };

    std::string stored;  // its name in the file
    size_t file     = 0;
    uint64_t offset = 0, bytes = 0;
    ggml_type type = GGML_TYPE_F32;  // if coding is not Plain: the type after decoding
    Coding coding  = Coding::Plain;
    int64_t ne[4]  = {1, 1, 1, 1};
    bool in_order  = true;
    int64_t strides[4]{};  // in elements, if it is not in order
    std::vector<float> scale;  // factors: one for all elements, or one for each run of equal length; empty: none

    int64_t elements() const { return ne[0] * ne[1] * ne[2] * ne[3]; }
    // Whether the file holds the elements as `type`, in order, so that read_at can read any of their bytes.
    bool plain() const { return coding == Coding::Plain && in_order; }
};

// "blocks", 3 -> "blocks.3"
template <typename Number>
std::string dot(const std::string& list, Number i) {
    return list + "." + std::to_string(i);
}

class Source {
public:
    // Checks the table: sizes, places and types. A fault is a DG_ERR_ARGUMENT.
    Source(std::vector<SourceFile> files, const std::vector<dg_weight>& weights);

    const SourceTensor* find(const std::string& name) const;
    bool has_prefix(const std::string& prefix) const;
    // A weight's i-th dimension in ggml's order; 0 where there is none.
    int64_t dim(const std::string& name, int i) const;
    // How many weights there are with names list.<n><rest> for n = 0, 1, 2, ... without a gap.
    int64_t count(const std::string& list, const std::string& rest) const;
    const std::vector<SourceFile>& files() const { return files_; }

    // The path of the file that holds a tensor. If the tensor is missing: the file that holds the rest of its component, or the
    // first file.
    const std::string& path_of(const std::string& name) const;

private:
    std::vector<SourceFile> files_;
    std::map<std::string, SourceTensor> tensors_;
};

// Reads tensor data. It keeps files open; each thread has its own reader.
class SourceReader {
public:
    explicit SourceReader(const Source& source);
    SourceReader(const SourceReader&)            = delete;
    SourceReader& operator=(const SourceReader&) = delete;

    // The tensor's elements in row-major order as `type`: F32, or the tensor's own. The result stays valid until the next call.
    const void* read(const SourceTensor& tensor, ggml_type* type);

    // Reads `bytes` of the tensor, starting at `offset`. A file that changed is an Error.
    void read_at(const SourceTensor& tensor, size_t offset, size_t bytes, void* to);

    // Converts rows of the tensor. One that is no finite number is an Error where the type is quantized: the engine's
    // quantizers make another number of it, assert, or loop for ever.
    void convert(const SourceTensor& tensor, const void* data, ggml_type from, void* to, ggml_type type, int64_t rows,
                 int64_t width) const;

private:
    void refuse_nan(const SourceTensor& tensor) const;  // in the values that were widened last

    const Source& source_;
    std::vector<std::unique_ptr<OpenFile>> open_;  // NULL: not open yet
    std::vector<uint8_t> raw_, converted_;
    std::vector<float> gathered_;
};

}  // namespace dg
