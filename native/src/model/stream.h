// Weights that pass through a window of memory while a graph runs. The graph's nodes are divided into segments, so that the
// weights of a segment fit into the window. While one segment is computed, a thread reads the weights of the next.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backend/graph.h"
#include "model/params.h"

namespace dg {

class WeightStream : public SegmentedWeights {
public:
    // Reads a set of tensors on several threads.
    using ReadMany = std::function<void(const std::vector<size_t>&, const std::function<void(size_t, SourceReader&)>&)>;

    WeightStream(const Params& params, const Params::Place& place);
    ~WeightStream() override;

    void add(size_t index);  // a tensor of params

    // Fails if the largest tensor does not fit into the window.
    void check_window() const;

    // Makes the window. On a device that is not the CPU it also makes a buffer on the host, from which the window is filled.
    // After this, tensors have an address in the window, and graphs can be allocated.
    void open(const ReadMany& read_many);
    void close() noexcept;

    void attach(ggml_cgraph* graph) override;
    size_t segments() const override { return segments_.size(); }
    std::pair<int, int> acquire(size_t segment, const std::atomic<bool>& cancelled) override;
    void finish() noexcept override;

private:
    struct Item {
        size_t index;  // of params
        ggml_tensor* tensor;
        size_t bytes;  // in the window, alignment included
        std::vector<uint8_t> host;
    };
    // Segments use the two ends of the window in turn. So two neighbours fit at the same time if they are not too large.
    struct Segment {
        int first, last;  // nodes
        std::vector<size_t> items;
        size_t bytes = 0;
        size_t next  = 0;  // item to be read
        size_t left  = 0;  // items that are not in the window yet
    };

    std::vector<size_t> items_of(const ggml_tensor* node) const;
    size_t bytes_of(const std::vector<size_t>& items) const;
    size_t start_of(size_t segment) const;
    bool side_by_side(size_t segment) const;  // with the one after it
    void place_items(size_t segment);
    void begin_run();
    bool read_one(size_t segment, SourceReader& reader, std::unique_lock<std::mutex>& lock);
    void read_ahead();

    const Params& params_;
    const Params::Place place_;
    size_t window_bytes_ = 0, alignment_ = 1, total_ = 0;
    std::vector<Item> items_;
    std::unordered_map<const ggml_tensor*, size_t> by_tensor_;
    BufferPtr window_;
    size_t window_size_ = 0;
    Held held_, held_host_;

    std::vector<Segment> segments_;
    std::unordered_map<size_t, std::vector<ggml_tensor*>> views_;  // of items, in the graph
    bool kept_ = false;  // all segments are in the window since the last run

    std::mutex mutex_;
    std::condition_variable changed_;
    size_t allowed_ = 0;  // segments below it may be read
    bool stop_      = true;
    std::exception_ptr failure_;
    std::thread reader_thread_;
    std::unique_ptr<SourceReader> reader_;  // of the computing thread
};

}  // namespace dg
