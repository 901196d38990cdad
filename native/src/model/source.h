// The tensors of one or several model files under canonical names: which file, where, what type.
// Headers are read with the engine's readers; nothing is loaded here but what read() asks for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/names.h"
#include "model_io/tensor_storage.h"

namespace dg {

struct SourceFile {
    std::string path;
    bool is_zip;
};

// One canonical tensor. Shapes are ggml's: fastest dimension first.
struct SourceTensor {
    TensorStorage storage;
    size_t file = 0;
    NameMapping mapping;
    int64_t ne[4] = {1, 1, 1, 1};  // after taking the part and transposing

    int64_t elements() const { return ne[0] * ne[1] * ne[2] * ne[3]; }
};

class Source {
public:
    // Adds a file or, for DG_ROLE_MODEL, a diffusers folder. Tensors of a later file replace earlier ones;
    // with another role than DG_ROLE_MODEL it first removes all of that component.
    void add(const std::string& path, int32_t role);

    const SourceTensor* find(const std::string& name) const;
    bool has_prefix(const std::string& prefix) const;
    const std::map<std::string, SourceTensor>& tensors() const { return tensors_; }
    const std::vector<SourceFile>& files() const { return files_; }
    const std::vector<std::string>& unmapped() const { return unmapped_; }
    bool has_marker(const std::string& name) const;

    // 0 original, 1 diffusers, 2 mixed.
    int32_t layout() const;

    // Path of the file a tensor comes from; of a missing one the file that holds the rest of its component, or the first.
    const std::string& path_of(const std::string& name) const;

private:
    void add_file(const std::string& path, int32_t role);
    void add_folder(const std::string& path);
    void remove_component(int32_t role);

    std::vector<SourceFile> files_;
    std::map<std::string, SourceTensor> tensors_;
    std::vector<std::string> unmapped_;
    std::vector<std::string> markers_;
    bool saw_original_ = false, saw_diffusers_ = false;
};

// Reads tensor data; one per thread, as it keeps files open.
class SourceReader {
public:
    explicit SourceReader(const Source& source);
    ~SourceReader();
    SourceReader(const SourceReader&)            = delete;
    SourceReader& operator=(const SourceReader&) = delete;

    // The tensor's elements in row-major order as `type` (F32, or storage.type where it equals it), the part
    // taken and the transposition done. The result stays valid until the next call.
    const void* read(const SourceTensor& tensor, ggml_type* type);

    // Whether the file holds the tensor's elements as storage.type, in order and not compressed, so that read_at can read any
    // of their bytes, which begin at data_offset.
    static bool is_plain(const Source& source, const SourceTensor& tensor);
    static size_t data_offset(const SourceTensor& tensor);

    // Of a plain tensor: `bytes` of it from `offset` on.
    void read_at(const SourceTensor& tensor, size_t offset, size_t bytes, void* to);

private:
    struct Open;
    Open& open(size_t file);

    const Source& source_;
    std::vector<std::unique_ptr<Open>> open_;
    std::vector<uint8_t> raw_, converted_;
};

}  // namespace dg
