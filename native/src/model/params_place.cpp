// Where the weights of a component are: in memory, in the mapped file, or streamed through a window.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>

#include "backend/lost.h"
#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "ggml-cpu.h"
#include "model/mapping.h"
#include "model/params.h"
#include "model/stream.h"

namespace dg {

Params::Mapped::Mapped(const SourceFile& of)
    : file(of),
      buffer(ggml_backend_cpu_buffer_from_ptr(file.data(), file.size())) {}

Params::~Params() = default;

namespace {

constexpr double kMiB = 1024.0 * 1024.0;

std::string what_of(const std::string& component) {
    return "weights of the " + component;
}

}  // namespace

void Params::place(const Place& place) {
    place_ = place;
    for (Param& p : params_) {
        const bool fits = place.cpu && !p.conv.packed && mappable(*p.source, p.tensor->type);
        const bool big  = ggml_n_dims(p.tensor) > 1;
        if (place.residency == DG_RESIDENT_MMAP) {
            p.mapped = fits && big;
        } else if (place.residency == DG_RESIDENT_STREAM) {
            p.mapped   = fits && p.table;  // a table: only a few of its rows are read
            p.streamed = big && !p.mapped;
        }
    }
    put_nowhere(ctx_.get());
    if (place.residency != DG_RESIDENT_STREAM) {
        return;
    }
    if (place.cpu) {
        refuse_slow_conversions();
    }
    stream_ = std::make_unique<WeightStream>(*this, place);
    for (size_t i = 0; i < params_.size(); i++) {
        if (params_[i].streamed) {
            stream_->add(i);
        }
    }
    stream_->check_window();
}

// Streaming would repeat a slow conversion in every pass. Q8_0 is allowed: it is quick to make, and layers get it if their rows
// are not whole blocks of the type asked for.
void Params::refuse_slow_conversions() const {
    for (const Param& p : params_) {
        const ggml_type to = p.tensor->type, from = p.source->type;
        const bool fallback = to == GGML_TYPE_Q8_0 && policy_.matrix != GGML_TYPE_Q8_0;
        if (p.streamed && ggml_is_quantized(to) && from != to && !fallback) {
            fail(DG_ERR_UNSUPPORTED,
                 "%s: streaming would convert '%s' from %s to %s in every pass; convert the file once: daguerre models "
                 "convert IN OUT --type %s",
                 component_.c_str(), p.tensor->name, ggml_type_name(from), ggml_type_name(to), ggml_type_name(to));
        }
    }
}

void Params::load(int32_t threads, const std::function<bool()>& stop) {
    if (loaded_) {
        return;
    }
    try {
        map_files();
        entry_ = cache_entry();
        if (entry_ != nullptr && entry_->map()) {
            place_.account->set_mapped(place_.component, mapped_bytes_ + entry_->mapped_bytes());
        } else {
            on_device(find_device(place_.device_id), what_of(component_), [&] {
                allocate();
                load_resident(threads, stop);
            });
            if (entry_ != nullptr) {
                entry_->write();
            }
        }
        if (stream_ != nullptr) {
            stream_->open(
                [&](const std::vector<size_t>& order, const std::function<void(size_t, SourceReader&)>& read) {
                    read_many(order, threads, stop, read);
                });
        }
    } catch (...) {
        unload();
        throw;
    }
    loaded_ = true;
    place_.account->set_loaded(place_.component, true);
}

void Params::unload() {
    loaded_ = false;
    if (entry_ != nullptr && entry_->writes()) {
        entry_->copied();
        finishing_.push_back(std::move(entry_));
    }
    entry_.reset();
    place_.account->set_loaded(place_.component, false);
    place_.account->set_mapped(place_.component, 0);
    if (stream_ != nullptr) {
        stream_->close();
    }
    buffer_.reset();
    held_ = Held();
    mapped_.clear();
    put_nowhere(ctx_.get());
    trim_heap();
}

void Params::map_files() {
    mapped_.clear();
    mapped_.resize(source_.files().size());
    int64_t& bytes = mapped_bytes_ = 0;
    for (const Param& p : params_) {
        if (!p.mapped) {
            continue;
        }
        const SourceFile& file      = source_.files()[p.source->file];
        std::unique_ptr<Mapped>& of = mapped_[p.source->file];
        if (of == nullptr) {
            of = std::make_unique<Mapped>(file);
        }
        const size_t at = static_cast<size_t>(p.source->offset), size = ggml_nbytes(p.tensor);
        if (at > of->file.size() || size > of->file.size() - at) {
            fail(DG_ERR_FILE, "%s: has changed since it was opened: tensor '%s' is no longer in it", file.path.c_str(),
                 p.source->stored.c_str());
        }
        p.tensor->data   = nullptr;
        p.tensor->buffer = nullptr;
        ggml_backend_tensor_alloc(of->buffer.get(), p.tensor, of->file.data() + at);
        bytes += static_cast<int64_t>(size);
    }
    place_.account->set_mapped(place_.component, bytes);
}

void Params::check_mapped() const {
    for (const std::unique_ptr<Mapped>& m : mapped_) {
        if (m != nullptr) {
            m->file.check();
        }
    }
    if (entry_ != nullptr) {
        entry_->check();
    }
}

// All that the bytes in memory depend on: the files as they are now, where they hold each weight, and what becomes of it.
std::string Params::describe() const {
    std::string text = "cpu " + cpu_features() + "\n";
    for (const SourceFile& f : source_.files()) {
        text += "file " + std::to_string(f.size) + " " + std::to_string(f.modified) + " " + std::to_string(f.changed) +
                " " + std::to_string(f.inode) + "\n";
    }
    for (const Param& p : params_) {
        if (p.mapped) {
            continue;
        }
        const SourceTensor& s = *p.source;
        text += std::string(p.tensor->name) + " " + ggml_type_name(p.tensor->type);
        for (const int64_t n :
             {p.tensor->ne[0], p.tensor->ne[1], p.conv.packed ? p.conv.kernel : 0, p.conv.in, p.conv.out,
              static_cast<int64_t>(s.file), static_cast<int64_t>(s.offset), static_cast<int64_t>(s.bytes),
              static_cast<int64_t>(s.type), static_cast<int64_t>(s.coding), s.in_order ? int64_t{1} : int64_t{0}}) {
            text += " " + std::to_string(n);
        }
        for (int i = 0; i < 4; i++) {
            text += " " + std::to_string(s.ne[i]) + " " + std::to_string(s.in_order ? 0 : s.strides[i]);
        }
        for (const float scale : s.scale) {
            char exact[32];
            std::snprintf(exact, sizeof(exact), " %a", static_cast<double>(scale));
            text += exact;
        }
        text += "\n";
    }
    return text;
}

std::unique_ptr<WeightEntry> Params::cache_entry() const {
    if (place_.cache.folder.empty() || !place_.cpu || place_.residency == DG_RESIDENT_STREAM) {
        return nullptr;
    }
    int64_t converted = 0;
    std::vector<ggml_tensor*> tensors;
    for (const Param& p : params_) {
        if (p.mapped) {
            continue;
        }
        tensors.push_back(p.tensor);
        if (p.conv.packed || !p.source->plain() || p.source->type != p.tensor->type) {
            converted += static_cast<int64_t>(ggml_nbytes(p.tensor));
        }
    }
    if (converted == 0 || converted < place_.cache.least) {
        return nullptr;
    }
    for (const SourceFile& file : source_.files()) {
        if (!file.known()) {
            return nullptr;
        }
        const OpenFile unchanged(file);  // fails if it is another one now
    }
    tensors.insert(tensors.end(), zeros_.begin(), zeros_.end());
    return std::make_unique<WeightEntry>(place_.cache, component_, describe(), tensors);
}

void Params::allocate() {
    size_t bytes     = 0;
    const auto place = [&](ggml_tensor* t) {
        t->data = nullptr;
        bytes += ggml_nbytes(t);
    };
    for (const Param& p : params_) {
        if (!p.mapped && !p.streamed) {
            place(p.tensor);
        }
    }
    std::for_each(zeros_.begin(), zeros_.end(), place);
    if (bytes == 0) {
        return;
    }
    check_allocation(what_of(component_), bytes, place_.device_id);
    buffer_.reset(ggml_backend_alloc_ctx_tensors(ctx_.get(), place_.backend));
    if (buffer_ == nullptr) {
        out_of_memory(what_of(component_), bytes, place_.device_id);
    }
    held_ = Held(place_.account, MemoryAccount::kWeights + place_.component,
                 static_cast<int64_t>(ggml_backend_buffer_get_size(buffer_.get())));
    ggml_backend_buffer_set_usage(buffer_.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    for (ggml_tensor* zeros : zeros_) {
        ggml_backend_tensor_memset(zeros, 0, 0, ggml_nbytes(zeros));
    }
}

void Params::load_resident(int32_t threads, const std::function<bool()>& stop) {
    std::vector<size_t> order;
    for (size_t i = 0; i < params_.size(); i++) {
        if (!params_[i].mapped && !params_[i].streamed) {
            order.push_back(i);
        }
    }
    read_many(order, threads, stop, [&](size_t i, SourceReader& reader) {
        ggml_tensor* tensor = params_[i].tensor;
        if (ggml_backend_buffer_is_host(tensor->buffer)) {
            read_tensor(i, reader, static_cast<uint8_t*>(tensor->data));
            return;
        }
        std::vector<uint8_t> data(ggml_nbytes(tensor));
        read_tensor(i, reader, data.data());
        ggml_backend_tensor_set(tensor, data.data(), 0, data.size());
    });
}

void Params::read_many(const std::vector<size_t>& wanted, int32_t threads, const std::function<bool()>& stop_wanted,
                       const std::function<void(size_t, SourceReader&)>& read) const {
    std::vector<size_t> order = wanted;
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {  // so that a disk reads forward
        const SourceTensor &x = *params_[a].source, &y = *params_[b].source;
        return std::make_pair(x.file, x.offset) < std::make_pair(y.file, y.offset);
    });
    double total = 0;
    for (const size_t i : order) {
        total += static_cast<double>(ggml_nbytes(params_[i].tensor));
    }
    std::atomic<size_t> next{0};
    std::atomic<bool> stop{false};
    std::atomic<int64_t> done{0};
    auto last_line = std::chrono::steady_clock::now();
    std::exception_ptr failure;
    std::mutex failure_mutex;
    const auto work = [&](bool reports) {
        const AssertionGuard assertions;  // CUDA's errors are assertions, in copies too
        try {
            SourceReader reader(source_);
            for (size_t i = next++; i < order.size() && !stop; i = next++) {
                if (stop_wanted()) {
                    fail(DG_ERR_CANCELLED, "cancelled while loading %s", component_.c_str());
                }
                read(order[i], reader);
                done += static_cast<int64_t>(ggml_nbytes(params_[order[i]].tensor));
                const auto now = std::chrono::steady_clock::now();
                if (reports && now - last_line >= std::chrono::seconds(1)) {
                    last_line = now;
                    log(DG_LOG_INFO, "loading %s: %.0f %% of %.1f MiB", component_.c_str(),
                        100.0 * static_cast<double>(done.load()) / total, total / kMiB);
                }
            }
        } catch (...) {
            const std::lock_guard<std::mutex> lock(failure_mutex);
            if (failure == nullptr) {
                failure = std::current_exception();
            }
            stop = true;
        }
    };
    in_parallel(threads, threads,
                [&, caller = std::this_thread::get_id()](int64_t) { work(std::this_thread::get_id() == caller); });
    if (failure != nullptr) {
        std::rethrow_exception(failure);
    }
}

}  // namespace dg
