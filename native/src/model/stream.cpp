#include "model/stream.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"

namespace dg {

namespace {

constexpr int64_t kDefaultWindow = 512 << 20;

size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

}  // namespace

WeightStream::WeightStream(const Params& params, const Params::Place& place) : params_(params), place_(place) {
    window_bytes_ = static_cast<size_t>(place.stream_bytes > 0 ? place.stream_bytes : kDefaultWindow);
    alignment_    = ggml_backend_buft_get_alignment(ggml_backend_get_default_buffer_type(place.backend));
}

WeightStream::~WeightStream() {
    finish();
}

void WeightStream::add(size_t index) {
    ggml_tensor* tensor = params_.tensor(index);
    const size_t bytes = ggml_backend_buft_get_alloc_size(ggml_backend_get_default_buffer_type(place_.backend), tensor);
    by_tensor_[tensor] = items_.size();
    items_.push_back({index, tensor, round_up(bytes, alignment_), {}});
    total_ += items_.back().bytes;
}

void WeightStream::check_window() const {
    const auto largest =
        std::max_element(items_.begin(), items_.end(), [](const Item& a, const Item& b) { return a.bytes < b.bytes; });
    if (largest != items_.end() && largest->bytes > window_bytes_) {
        fail(DG_ERR_ARGUMENT, "stream_bytes: %zu is less than the largest layer of the %s needs, %zu ('%s')",
             window_bytes_, params_.component().c_str(), largest->bytes, largest->tensor->name);
    }
}

void WeightStream::open(const ReadMany& read_many) {
    // If all streamed weights fit into the window, it needs no more than their total size.
    const size_t bytes = std::min(window_bytes_ / alignment_ * alignment_, total_);
    if (items_.empty()) {
        return;
    }
    window_size_ = bytes;
    window_      = allocate_buffer(place_.backend, bytes, "window of the " + params_.component(), place_.device_id);
    ggml_backend_buffer_set_usage(window_.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    held_ = Held(place_.account, MemoryAccount::kWeights + place_.component, static_cast<int64_t>(bytes));
    for (Item& item : items_) {
        item.tensor->buffer = window_.get();
        item.tensor->data   = ggml_backend_buffer_get_base(window_.get());
    }
    if (place_.cpu) {
        return;
    }
    check_allocation("host copy of the " + params_.component(), total_, "cpu");
    held_host_ = Held(place_.account, MemoryAccount::kHost + place_.component, static_cast<int64_t>(total_));
    std::vector<size_t> order;
    std::unordered_map<size_t, Item*> by_index;
    for (Item& item : items_) {
        order.push_back(item.index);
        by_index[item.index] = &item;
        item.host.resize(ggml_nbytes(item.tensor));
    }
    read_many(order, [&](size_t index, SourceReader& reader) {
        params_.read_tensor(index, reader, by_index[index]->host.data());
    });
}

void WeightStream::close() noexcept {
    finish();
    segments_.clear();
    views_.clear();
    kept_ = false;
    reader_.reset();
    window_.reset();
    window_size_ = 0;
    held_        = Held();
    for (Item& item : items_) {
        item.host = std::vector<uint8_t>();
    }
    held_host_ = Held();
}

// The streamed tensors that a node computes with.
std::vector<size_t> WeightStream::items_of(const ggml_tensor* node) const {
    std::vector<size_t> items;
    switch (node->op) {
        case GGML_OP_NONE:
        case GGML_OP_VIEW:
        case GGML_OP_RESHAPE:
        case GGML_OP_PERMUTE:
        case GGML_OP_TRANSPOSE: return items;
        default: break;
    }
    for (const ggml_tensor* source : node->src) {
        if (source != nullptr) {
            const auto found = by_tensor_.find(source->view_src != nullptr ? source->view_src : source);
            if (found != by_tensor_.end() && std::find(items.begin(), items.end(), found->second) == items.end()) {
                items.push_back(found->second);
            }
        }
    }
    return items;
}

size_t WeightStream::bytes_of(const std::vector<size_t>& items) const {
    size_t bytes = 0;
    for (const size_t item : items) {
        bytes += items_[item].bytes;
    }
    return bytes;
}

void WeightStream::attach(ggml_cgraph* graph) {
    finish();
    segments_.clear();
    views_.clear();
    kept_ = false;

    const size_t window = window_size_;
    const size_t most   = window >= total_ ? total_ : window / 2;
    const int nodes     = ggml_graph_n_nodes(graph);
    segments_.push_back({0, 0, {}});
    std::unordered_map<size_t, size_t> in_segment;  // for each item, the last segment that has it
    for (int n = 0; n < nodes; n++) {
        ggml_tensor* node = ggml_graph_node(graph, n);
        if (node->view_src != nullptr) {
            const auto of = by_tensor_.find(node->view_src);
            if (of != by_tensor_.end()) {
                views_[of->second].push_back(node);
            }
        }
        std::vector<size_t> wanted = items_of(node), fresh;
        std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(fresh), [&](size_t item) {
            const auto found = in_segment.find(item);
            return found == in_segment.end() || found->second != segments_.size() - 1;
        });
        if (!segments_.back().items.empty() && segments_.back().bytes + bytes_of(fresh) > most) {
            segments_.push_back({n, n, {}});
            fresh = std::move(wanted);  // a new segment needs all items of its first node
        }
        Segment& segment = segments_.back();
        for (const size_t item : fresh) {
            in_segment[item] = segments_.size() - 1;
            segment.items.push_back(item);
        }
        segment.bytes += bytes_of(fresh);
        segment.last = n + 1;
        if (segment.bytes > window) {
            fail(DG_ERR_ARGUMENT, "stream_bytes: %zu is less than one operation of the %s needs, %zu (node '%s')",
                 window, params_.component().c_str(), segment.bytes, node->name);
        }
    }
    log(DG_LOG_DEBUG, "%s: %zu segments of a graph of %d nodes", params_.component().c_str(), segments_.size(), nodes);
}

size_t WeightStream::start_of(size_t segment) const {
    return segment % 2 == 0 ? 0 : window_size_ - segments_[segment].bytes;
}

bool WeightStream::side_by_side(size_t segment) const {
    return segment + 1 >= segments_.size() || segments_[segment].bytes + segments_[segment + 1].bytes <= window_size_;
}

void WeightStream::begin_run() {
    finish();
    failure_ = nullptr;
    allowed_ = 0;
    for (Segment& s : segments_) {
        s.next = kept_ ? s.items.size() : 0;
        s.left = kept_ ? 0 : s.items.size();
    }
    stop_ = false;
    if (kept_ || !place_.cpu || segments_.size() < 2) {
        return;
    }
    start_thread(&reader_thread_, [this] { read_ahead(); });  // if refused, the computing thread reads
}

void WeightStream::finish() noexcept {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    if (reader_thread_.joinable()) {
        reader_thread_.join();
    }
}

// Reads one item of a segment into the window; the lock is released while it reads. False if no item is left to read.
bool WeightStream::read_one(size_t segment, SourceReader& reader, std::unique_lock<std::mutex>& lock) {
    Segment& s = segments_[segment];
    if (s.next == s.items.size() || stop_ || failure_ != nullptr) {
        return false;
    }
    const size_t k = s.next++;
    size_t at      = start_of(segment);
    for (size_t i = 0; i < k; i++) {
        at += items_[s.items[i]].bytes;
    }
    const Item& item = items_[s.items[k]];
    lock.unlock();
    std::exception_ptr failure;
    try {
        params_.read_tensor(item.index, reader,
                            static_cast<uint8_t*>(ggml_backend_buffer_get_base(window_.get())) + at);
    } catch (...) {
        failure = std::current_exception();
    }
    lock.lock();
    if (failure != nullptr && failure_ == nullptr) {
        failure_ = failure;
    }
    s.left--;
    changed_.notify_all();
    return true;
}

void WeightStream::read_ahead() {
    std::unique_lock<std::mutex> lock(mutex_);
    try {
        SourceReader reader(params_.source());
        for (size_t segment = 0; segment < segments_.size();) {
            changed_.wait(lock, [&] { return stop_ || failure_ != nullptr || segment < allowed_; });
            if (stop_ || failure_ != nullptr) {
                return;
            }
            if (!read_one(segment, reader, lock)) {
                segment++;
            }
        }
    } catch (...) {
        if (!lock.owns_lock()) {
            lock.lock();
        }
        failure_ = failure_ == nullptr ? std::current_exception() : failure_;
        changed_.notify_all();
    }
}

void WeightStream::place_items(size_t segment) {
    auto* base = static_cast<uint8_t*>(ggml_backend_buffer_get_base(window_.get()));
    size_t at  = start_of(segment);
    for (const size_t i : segments_[segment].items) {
        Item& item          = items_[i];
        item.tensor->buffer = nullptr;
        item.tensor->data   = nullptr;
        ggml_backend_tensor_alloc(window_.get(), item.tensor, base + at);
        if (!place_.cpu) {
            ggml_backend_tensor_set(item.tensor, item.host.data(), 0, item.host.size());
        }
        for (ggml_tensor* view : views_[i]) {
            view->data = base + at + view->view_offs;
        }
        at += item.bytes;
    }
}

std::pair<int, int> WeightStream::acquire(size_t segment, const std::atomic<bool>& cancelled) {
    if (segment == 0) {
        begin_run();
    }
    Segment& s = segments_[segment];
    if (place_.cpu && !s.items.empty()) {
        if (reader_ == nullptr) {
            reader_ = std::make_unique<SourceReader>(params_.source());
        }
        std::unique_lock<std::mutex> lock(mutex_);
        // the segment before is computed: its end of the window is free
        allowed_ = segment + 1;
        changed_.notify_all();
        while (!cancelled && read_one(segment, *reader_, lock)) {
        }
        changed_.wait(lock, [&] { return s.left == 0 || failure_ != nullptr || cancelled.load(); });
        if (failure_ != nullptr) {
            std::rethrow_exception(failure_);
        }
        if (cancelled) {
            fail(DG_ERR_CANCELLED, "cancelled while streaming the %s", params_.component().c_str());
        }
        if (side_by_side(segment)) {
            allowed_ = segment + 2;
            changed_.notify_all();
        }
        kept_ = segment + 1 == segments_.size() && segments_.size() <= 2 && (segments_.size() == 1 || side_by_side(0));
    }
    if (!s.items.empty()) {
        place_items(segment);
    }
    return {s.first, s.last};
}

}  // namespace dg
