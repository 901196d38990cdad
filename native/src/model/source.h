// The weights of a model under canonical names: which file, where, what type. The caller gives this table, made from checked
// headers; nothing of a file is read here but what read() asks for.
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
    ggml_type type = GGML_TYPE_F32;  // what it is taken for where Coding is not Plain
    Coding coding  = Coding::Plain;
    int64_t ne[4]  = {1, 1, 1, 1};
    bool in_order  = true;
    int64_t strides[4]{};  // in elements, where it is not in order
    std::vector<float> scale;  // of the values; one, or one for each of the equal runs of elements; empty: none

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
    // Checks what of the table could lead astray; a fault is a DG_ERR_ARGUMENT.
    Source(std::vector<SourceFile> files, const std::vector<dg_weight>& weights);

    const SourceTensor* find(const std::string& name) const;
    bool has_prefix(const std::string& prefix) const;
    // A weight's i-th dimension in ggml's order; 0 where there is none.
    int64_t dim(const std::string& name, int i) const;
    // How many numbers from 0 on make list.<number><rest> the name of a weight.
    int64_t count(const std::string& list, const std::string& rest) const;
    const std::vector<SourceFile>& files() const { return files_; }

    // Path of the file a tensor comes from; of a missing one the file that holds the rest of its component, or the first.
    const std::string& path_of(const std::string& name) const;

private:
    std::vector<SourceFile> files_;
    std::map<std::string, SourceTensor> tensors_;
};

// Reads tensor data; one per thread, as it keeps files open.
class SourceReader {
public:
    explicit SourceReader(const Source& source);
    SourceReader(const SourceReader&)            = delete;
    SourceReader& operator=(const SourceReader&) = delete;

    // The tensor's elements in row-major order as `type`: F32, or the tensor's own. The result stays valid until the next call.
    const void* read(const SourceTensor& tensor, ggml_type* type);

    // `bytes` of the tensor from `offset` on. A file that is no longer what it was is an Error.
    void read_at(const SourceTensor& tensor, size_t offset, size_t bytes, void* to);

private:
    void refuse_nan(const SourceTensor& tensor) const;  // of what was widened last

    const Source& source_;
    std::vector<std::unique_ptr<OpenFile>> open_;  // NULL where a file is not open yet
    std::vector<uint8_t> raw_, converted_;
    std::vector<float> gathered_;
};

}  // namespace dg
