// A cache of converted and packed weights: files in a folder, one for each component of a model. A file is mapped at the next start. Its
// contents depend on the model's files, the types, the CPU's kernels and the build, and all of that is in its name. What is written gets
// its name when it is whole.
#pragma once

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backend/device.h"
#include "model/mapping.h"

namespace dg {

struct WeightCacheConfig {
    std::string folder;  // empty: there is no cache
    std::string build;  // tells builds of this library apart
    int64_t least                  = 0;  // bytes of a component that is worth a file
    int64_t most                   = 0;  // bytes that a new file may have
    const std::atomic<bool>* hurry = nullptr;  // writing is given up
};

// A tensor of an entry.
struct CachedTensor {
    ggml_tensor* tensor;
    uint64_t offset;  // in the file
};

// The file of one component.
class WeightEntry {
public:
    // description: all that the bytes depend on, besides the build.
    WeightEntry(const WeightCacheConfig& config, const std::string& component, const std::string& description,
                const std::vector<ggml_tensor*>& tensors);
    ~WeightEntry();  // waits until a file is written
    WeightEntry(const WeightEntry&)            = delete;
    WeightEntry& operator=(const WeightEntry&) = delete;

    // Maps the file and places the tensors in it. False if there is none that fits; nothing is changed then.
    bool map();
    // Writes the file on a thread of its own, from tensors that stay in memory until copied(). A failure is no harm: there is no file then.
    void write();
    // Waits until the tensors are needed no more. The disk may still be at work on what was copied.
    void copied();
    bool writes() const { return writer_.joinable(); }

    int64_t mapped_bytes() const { return file_ == nullptr ? 0 : static_cast<int64_t>(bytes_); }
    void check() const {
        if (file_ != nullptr) {
            file_->check();
        }
    }

private:
    void write_whole();
    bool copy_to(FileHandle file, FileFailure* failure) const;

    std::string path_, head_;
    std::vector<CachedTensor> tensors_;
    uint64_t bytes_ = 0;  // of the file
    int64_t most_   = 0;
    std::unique_ptr<FileMapping> file_;
    BufferPtr buffer_;
    std::thread writer_;
    std::promise<void> copied_;
    const std::atomic<bool>* hurry_;
};

}  // namespace dg
