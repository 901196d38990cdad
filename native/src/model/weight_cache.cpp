#include "model/weight_cache.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/parallel.h"
#include "ggml-cpu.h"

namespace dg {

namespace {

constexpr size_t kAlignment = 4096;  // of the first tensor; the others begin at cache lines
constexpr size_t kLine      = 64;
constexpr size_t kPiece     = 8 << 20;  // bytes that are written at a time
constexpr char kMagic[]     = "daguerre weights 1\n";

// FNV-1a with 64 bits. Two of them make a name; the whole text is compared, too.
uint64_t hash(const std::string& text, uint64_t seed) {
    uint64_t h = 14695981039346656037ull ^ seed;
    for (const char c : text) {
        h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
    }
    return h;
}

std::string hex(uint64_t value) {
    char text[17];
    std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(value));
    return text;
}

uint64_t aligned(uint64_t at, uint64_t to) {
    return (at + to - 1) / to * to;
}

}  // namespace

// The head of a file: the magic line, "length of the head, length of the file", the build and the description, up to the first tensor.
WeightEntry::WeightEntry(const WeightCacheConfig& config, const std::string& component, const std::string& description,
                         const std::vector<ggml_tensor*>& tensors)
    : most_(config.most),
      hurry_(config.hurry) {
    const std::string said = "build " + config.build + "\ncomponent " + component + "\n" + description;
    // the numbers have a fixed width, so that the head's length does not depend on them
    const size_t head = aligned(sizeof(kMagic) - 1 + 2 * 17 + said.size(), kAlignment);
    uint64_t at       = head;
    for (ggml_tensor* t : tensors) {
        tensors_.push_back({t, at});
        at = aligned(at + ggml_nbytes(t), kLine);
    }
    bytes_ = at;
    head_  = kMagic + hex(head) + "\n" + hex(bytes_) + "\n" + said;
    head_.resize(head, '\0');
    path_ = config.folder + "/" + component + "-" + hex(hash(said, 0)) + hex(hash(said, 1)) + ".weights";
}

WeightEntry::~WeightEntry() {
    if (writer_.joinable()) {
        writer_.join();
    }
}

bool WeightEntry::map() {
    SourceFile of;
    of.path = path_;
    try {
        FileFailure failure;
        const FileHandle there = open_file(path_, &failure);
        if (there == kNoFile) {
            return false;
        }
        close_file(there);
        auto file = std::make_unique<FileMapping>(of);
        if (file->size() != bytes_ || std::memcmp(file->data(), head_.data(), head_.size()) != 0) {
            log(DG_LOG_INFO, "%s is not what its name says; it is not used", path_.c_str());
            return false;
        }
        BufferPtr buffer(ggml_backend_cpu_buffer_from_ptr(file->data(), file->size()));
        if (buffer == nullptr) {
            return false;
        }
        for (const CachedTensor& c : tensors_) {
            c.tensor->data   = nullptr;
            c.tensor->buffer = nullptr;
            ggml_backend_tensor_alloc(buffer.get(), c.tensor, file->data() + c.offset);
        }
        file_   = std::move(file);
        buffer_ = std::move(buffer);
    } catch (const Error& e) {
        log(DG_LOG_INFO, "the cache of weights is not used: %s", e.what());
        return false;
    }
    // A file of its own tells when it was used: the mapped one must not change.
    touch_file(path_ + ".used");
    return true;
}

void WeightEntry::write() {
    if (most_ >= 0 && bytes_ <= static_cast<uint64_t>(most_)) {
        start_thread(&writer_, [this] { write_whole(); });
    }
}

void WeightEntry::copied() {
    if (writer_.joinable()) {
        copied_.get_future().wait();
    }
}

bool WeightEntry::copy_to(FileHandle file, FileFailure* failure) const {
    uint64_t written    = 0;
    const auto put_from = [&](const void* data, uint64_t bytes) {
        for (uint64_t done = 0; done < bytes;) {
            if (hurry_ != nullptr && hurry_->load()) {
                return false;
            }
            const auto n = static_cast<size_t>(std::min<uint64_t>(kPiece, bytes - done));
            if (!write_file(file, static_cast<const uint8_t*>(data) + done, n, failure)) {
                return false;
            }
            done += n;
        }
        written += bytes;
        return true;
    };
    static const uint8_t zeros[kLine] = {};
    if (!put_from(head_.data(), head_.size())) {
        return false;
    }
    for (const CachedTensor& c : tensors_) {
        if (!put_from(zeros, c.offset - written) || !put_from(c.tensor->data, ggml_nbytes(c.tensor))) {
            return false;
        }
    }
    return put_from(zeros, bytes_ - written);
}

void WeightEntry::write_whole() {
    const auto now = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    // no two processes, and no two entries of one, have the same name for it
    const std::string unfinished = path_ + "." + hex(now ^ reinterpret_cast<uintptr_t>(this)) + ".part";
    FileFailure failure;
    const FileHandle file = create_file(unfinished, &failure);
    bool whole            = file != kNoFile && copy_to(file, &failure);
    copied_.set_value();
    if (file != kNoFile) {
        whole = whole && flush_file(file, &failure);
        close_file(file);
        if (whole && rename_file(unfinished, path_, &failure)) {
            touch_file(path_ + ".used");
            log(DG_LOG_INFO, "converted weights are kept in %s", path_.c_str());
            return;
        }
        remove_file(unfinished);
    }
    if (!failure.reason.empty()) {
        log(DG_LOG_INFO, "converted weights are not kept: %s: %s", unfinished.c_str(), failure.reason.c_str());
    }
}

}  // namespace dg
