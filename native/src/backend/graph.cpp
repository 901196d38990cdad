#include "backend/graph.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "backend/lost.h"
#include "backend/nodes.h"
#include "base/error.h"
#include "base/log.h"
#include "ggml-cpu.h"
#include "ggml-impl.h"

namespace dg {

namespace {

constexpr size_t kMaxNodes = 32768;
constexpr double kMiB      = 1024.0 * 1024.0;

// Threads wait for each other after every node. If a node has fewer operations than this, on average, one thread is as fast as
// many, and much faster if other programs use the cores too.
constexpr double kOperationsPerNode = 1e7;

// If a node has fewer operations than this, on average, threads share a batch by rows: they never wait for each other, and the
// weights are small enough for every thread to read them.
constexpr double kLaneOperationsPerNode = 5e7;

// The largest number of nodes, or of leafs, that a graph of the context's tensors can have. Leafs may belong to another context.
// A graph uses memory for its whole capacity, because its hash table spreads over all of it.
size_t graph_capacity(ggml_context* ctx, size_t most) {
    size_t n = 0;
    for (ggml_tensor* t = ggml_get_first_tensor(ctx); t != nullptr; t = ggml_get_next_tensor(ctx, t)) {
        n++;
        for (const ggml_tensor* src : t->src) {
            n += src != nullptr && src->op == GGML_OP_NONE ? 1 : 0;
        }
    }
    return std::min(n, most);
}

// Whether the graph has fewer operations per node, on average, than `limit`.
bool has_small_nodes(ggml_cgraph* graph, double limit) {
    double operations = 0;
    const int nodes   = ggml_graph_n_nodes(graph);
    for (int i = 0; i < nodes; i++) {
        operations += product_operations(ggml_graph_node(graph, i));
    }
    return operations < limit * nodes;
}

// On a GPU a graph runs in slices of so many nodes, and the cancel flag is read between slices. On a software device a slice is
// one node: ggml submits work while it compiles the pipelines of later nodes, and Mesa 22.3's lavapipe corrupts its heap when it
// computes and compiles at the same time.
constexpr int kSliceNodes         = 512;
constexpr int kSliceNodesSoftware = 1;

// The environment may set another number, to try.
int slice_nodes(const Device& device) {
    static const char* forced = std::getenv("DAGUERRE_GRAPH_SLICE");
    const int nodes           = forced != nullptr ? std::atoi(forced) : 0;
    if (nodes > 0) {
        return nodes;
    }
    return device.is_software ? kSliceNodesSoftware : kSliceNodes;
}

ggml_status compute(const Worker& worker, ggml_cgraph* graph, const std::atomic<bool>& cancelled) {
    if (worker.cpu()) {
        return ggml_backend_graph_compute(worker.backend(), graph);
    }
    const int nodes = ggml_graph_n_nodes(graph);
    const int slice = slice_nodes(worker.device());
    for (int first = 0; first < nodes; first += slice) {
        ggml_cgraph part         = ggml_graph_view(graph, first, std::min(nodes, first + slice));
        const ggml_status status = ggml_backend_graph_compute(worker.backend(), &part);
        if (status != GGML_STATUS_SUCCESS) {
            return status;
        }
        if (cancelled.load()) {
            return GGML_STATUS_ABORTED;
        }
    }
    return GGML_STATUS_SUCCESS;
}

bool abort_requested(void* cancel) {
    return static_cast<const std::atomic<bool>*>(cancel)->load(std::memory_order_relaxed);
}

}  // namespace

ggml_tensor* GraphBuilder::input(ggml_type type, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3) {
    ggml_tensor* tensor = ggml_new_tensor_4d(ctx, type, ne0, ne1, ne2, ne3);
    ggml_set_input(tensor);
    inputs.push_back(tensor);
    return tensor;
}

void GraphBuilder::output(ggml_tensor* tensor) {
    ggml_set_output(tensor);
    outputs.push_back(tensor);
}

Worker::Worker(const Device& device, int32_t threads, const std::atomic<bool>* cancel)
    : device_(device),
      threads_(threads),
      backend_(ggml_backend_dev_init(device.dev, nullptr), BackendFree()) {
    if (backend_ == nullptr) {
        fail(DG_ERR_DEVICE, "device %s (%s) could not be initialised", device.id.c_str(), device.description.c_str());
    }
    if (is_cpu(device)) {
        ggml_backend_cpu_set_abort_callback(backend_.get(), abort_requested, const_cast<std::atomic<bool>*>(cancel));
    }
}

GraphRunner::Built GraphRunner::build_graph(const Worker& worker, const Traits& traits, const BuildFunction& build) {
    Built built;
    ggml_init_params params;
    const size_t most = kMaxNodes + traits.more_nodes;
    params.mem_size   = ggml_tensor_overhead() * most + ggml_graph_overhead_custom(most, false);
    params.mem_buffer = nullptr;
    params.no_alloc   = true;
    built.ctx.reset(ggml_init(params));
    if (built.ctx == nullptr) {
        fail(DG_ERR_OUT_OF_MEMORY, "no memory for a graph's %zu bytes of metadata", params.mem_size);
    }
    GraphBuilder builder(built.ctx.get(), worker.backend(), traits);
    build(builder);
    built.graph = ggml_new_graph_custom(built.ctx.get(), graph_capacity(built.ctx.get(), most), false);
    for (ggml_tensor* effect : builder.effects) {
        ggml_build_forward_expand(built.graph, effect);
    }
    for (ggml_tensor* output : builder.outputs) {
        ggml_build_forward_expand(built.graph, output);
    }
    built.inputs         = builder.inputs;
    built.outputs        = builder.outputs;
    built.without_direct = builder.without_direct;
    built.threads        = has_small_nodes(built.graph, kOperationsPerNode) ? 1 : worker.threads();
    return built;
}

// ggml ends the process where a node has no kernel.
void GraphRunner::check_supported(const std::string& key, const Worker& worker, const Built& built) {
    if (worker.cpu()) {
        return;
    }
    const Device& device = worker.device();
    for (int i = 0; i < ggml_graph_n_nodes(built.graph); i++) {
        ggml_tensor* node = ggml_graph_node(built.graph, i);
        if (!is_computed(node) || ggml_backend_supports_op(worker.backend(), node)) {
            continue;
        }
        size_t largest = ggml_nbytes(node);
        for (const ggml_tensor* src : node->src) {
            largest = std::max(largest, src != nullptr ? ggml_nbytes(src) : 0);
        }
        if (device.max_tensor_bytes > 0 && largest > static_cast<size_t>(device.max_tensor_bytes)) {
            fail(DG_ERR_OUT_OF_MEMORY,
                 "%s: %s has a tensor of %.1f MiB, and %s (%s) computes with %.1f MiB at most; smaller pictures, "
                 "smaller batches or smaller VAE tiles fit",
                 key.c_str(), ggml_op_desc(node), static_cast<double>(largest) / kMiB, device.id.c_str(),
                 device.description.c_str(), static_cast<double>(device.max_tensor_bytes) / kMiB);
        }
        fail(DG_ERR_UNSUPPORTED, "%s: %s (%s) has no kernel for %s", key.c_str(), device.id.c_str(),
             device.description.c_str(),
             (std::string(ggml_op_desc(node)) + " " + describe_node(node).operands).c_str());
    }
    if (built.without_direct > 0 && !told_columns_) {
        told_columns_ = true;
        log(DG_LOG_INFO, "%s: %s has no direct kernel for %d convolutions; they are computed by im2col", key.c_str(),
            device.id.c_str(), built.without_direct);
    }
}

void GraphRunner::prepare(const std::string& key, const Worker& worker, const Traits& traits,
                          const BuildFunction& build, SegmentedWeights* weights) {
    if (!key_.empty() && key == key_) {
        return;
    }
    release();
    Built built = build_graph(worker, traits, build);
    check_supported(key, worker, built);
    const size_t bytes     = measure(worker, built.graph);
    const std::string what = "compute buffer of " + key;
    check_allocation(what, bytes, worker.device().id);
    GallocrPtr allocator(ggml_gallocr_new(ggml_backend_get_default_buffer_type(worker.backend())));
    if (!ggml_gallocr_alloc_graph(allocator.get(), built.graph)) {
        out_of_memory(what, bytes, worker.device().id);
    }
    if (weights != nullptr) {
        weights->attach(built.graph);
    }
    held_      = Held(account_, MemoryAccount::kCompute, static_cast<int64_t>(bytes));
    allocator_ = std::move(allocator);
    built_     = std::move(built);
    key_       = key;
    builds_++;
}

ggml_status GraphRunner::compute_part(const std::string& stage, const Worker& worker, ggml_cgraph* graph) {
    return profile_.enabled() ? profile_.run(stage, worker.backend(), graph) : compute(worker, graph, *cancel_);
}

ggml_status GraphRunner::compute_all(const std::string& stage, const Worker& worker, SegmentedWeights* weights) {
    if (weights == nullptr) {
        return compute_part(stage, worker, built_.graph);
    }
    struct Finish {
        SegmentedWeights* weights;
        ~Finish() { weights->finish(); }
    } const finish{weights};
    for (size_t i = 0; i < weights->segments(); i++) {
        const auto [first, last] = weights->acquire(i, *cancel_);
        ggml_cgraph part         = ggml_graph_view(built_.graph, first, last);
        const ggml_status status = compute_part(stage, worker, &part);
        if (status != GGML_STATUS_SUCCESS || cancel_->load()) {
            return status;
        }
    }
    return GGML_STATUS_SUCCESS;
}

void GraphRunner::run(const std::string& key, const Worker& worker, const Traits& traits, const BuildFunction& build,
                      const std::vector<HostInput>& inputs, const std::vector<HostOutput>& outputs,
                      SegmentedWeights* weights) {
    if (cancel_->load()) {
        fail(DG_ERR_CANCELLED, "cancelled before %s", key.c_str());
    }
    count_graph(worker.device());
    on_device(worker.device(), key, [&] { run_here(key, worker, traits, build, inputs, outputs, weights); });
}

void GraphRunner::run_here(const std::string& key, const Worker& worker, const Traits& traits,
                           const BuildFunction& build, const std::vector<HostInput>& inputs,
                           const std::vector<HostOutput>& outputs, SegmentedWeights* weights) {
    prepare(key, worker, traits, build, weights);
    if (inputs.size() != built_.inputs.size() || outputs.size() != built_.outputs.size()) {
        fail(DG_ERR_ENGINE, "%s: %zu inputs and %zu outputs for a graph with %zu and %zu", key.c_str(), inputs.size(),
             outputs.size(), built_.inputs.size(), built_.outputs.size());
    }
    for (size_t i = 0; i < inputs.size(); i++) {
        if (inputs[i].bytes != ggml_nbytes(built_.inputs[i])) {
            fail(DG_ERR_ENGINE, "%s: input %zu has %zu bytes where the graph wants %zu", key.c_str(), i,
                 inputs[i].bytes, ggml_nbytes(built_.inputs[i]));
        }
    }
    copy_in(worker, inputs);
    if (worker.cpu()) {
        ggml_backend_cpu_set_n_threads(worker.backend(), built_.threads);
    }
    const std::string stage = key.substr(0, key.find(' '));
    const auto began        = std::chrono::steady_clock::now();
    ggml_status status;
    try {
        status = compute_all(stage, worker, weights);
    } catch (const Error& e) {
        // ggml starts its threads before the first node, and asserts that all of them started
        if (built_.threads < 2 || !worker.cpu() || std::string(e.what()).find("rc == 0") == std::string::npos) {
            throw;
        }
        log(DG_LOG_WARN, "%s: the system refuses %d threads; going on with one", stage.c_str(), built_.threads);
        built_.threads = 1;
        ggml_backend_cpu_set_n_threads(worker.backend(), built_.threads);
        status = compute_all(stage, worker, weights);
    }
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    if (status == GGML_STATUS_ABORTED || cancel_->load()) {
        fail(DG_ERR_CANCELLED, "cancelled during %s", key.c_str());
    }
    if (status == GGML_STATUS_ALLOC_FAILED) {
        fail(DG_ERR_OUT_OF_MEMORY, "%s: a work buffer could not be allocated on %s", key.c_str(),
             worker.device().id.c_str());
    }
    if (status != GGML_STATUS_SUCCESS) {
        fail(DG_ERR_DEVICE, "%s: computing on %s failed: %s", key.c_str(), worker.device().id.c_str(),
             ggml_status_to_string(status));
    }
    for (size_t i = 0; i < outputs.size(); i++) {
        if (outputs[i].count * sizeof(float) != ggml_nbytes(built_.outputs[i])) {
            fail(DG_ERR_ENGINE, "%s: output %zu has room for %zu floats where the graph has %lld", key.c_str(), i,
                 outputs[i].count, static_cast<long long>(ggml_nelements(built_.outputs[i])));
        }
    }
    copy_out(worker, outputs);
}

void GraphRunner::copy_in(const Worker& worker, const std::vector<HostInput>& inputs) {
    transfers_.runs++;
    std::vector<size_t> used, sizes;  // inputs that no node reads are not allocated
    for (size_t i = 0; i < inputs.size(); i++) {
        if (built_.inputs[i]->buffer != nullptr) {
            used.push_back(i);
            sizes.push_back(inputs[i].bytes);
            transfers_.uploads++;
            transfers_.upload_bytes += static_cast<int64_t>(inputs[i].bytes);
        }
    }
    const std::vector<uint8_t*> staged =
        worker.cpu() ? std::vector<uint8_t*>() : stage_.reserve(worker.device(), sizes);
    for (size_t k = 0; k < used.size(); k++) {
        ggml_tensor* to       = built_.inputs[used[k]];
        const HostInput& from = inputs[used[k]];
        if (staged.empty()) {
            ggml_backend_tensor_set(to, from.data, 0, from.bytes);
        } else {
            std::memcpy(staged[k], from.data, from.bytes);
            ggml_backend_tensor_set_async(worker.backend(), to, staged[k], 0, from.bytes);
        }
    }
    if (!staged.empty()) {
        ggml_backend_synchronize(worker.backend());
    }
}

void GraphRunner::copy_out(const Worker& worker, const std::vector<HostOutput>& outputs) {
    std::vector<size_t> sizes;
    for (const HostOutput& output : outputs) {
        sizes.push_back(output.count * sizeof(float));
        transfers_.downloads++;
        transfers_.download_bytes += static_cast<int64_t>(sizes.back());
    }
    const std::vector<uint8_t*> staged =
        worker.cpu() ? std::vector<uint8_t*>() : stage_.reserve(worker.device(), sizes);
    for (size_t i = 0; i < outputs.size(); i++) {
        if (staged.empty()) {
            ggml_backend_tensor_get(built_.outputs[i], outputs[i].data, 0, sizes[i]);
        } else {
            ggml_backend_tensor_get_async(worker.backend(), built_.outputs[i], staged[i], 0, sizes[i]);
        }
    }
    if (!staged.empty()) {
        ggml_backend_synchronize(worker.backend());
        for (size_t i = 0; i < outputs.size(); i++) {
            std::memcpy(outputs[i].data, staged[i], sizes[i]);
        }
    }
}

void GraphRunner::inspect(const Worker& worker, const Traits& traits, const BuildFunction& build,
                          const std::function<void(ggml_tensor*)>& look) {
    const Built built = build_graph(worker, traits, build);
    for (int i = 0; i < ggml_graph_n_nodes(built.graph); i++) {
        look(ggml_graph_node(built.graph, i));
    }
}

bool GraphRunner::small_nodes(const Worker& worker, const Traits& traits, const BuildFunction& build) {
    const Built built = build_graph(worker, traits, build);
    return has_small_nodes(built.graph, kLaneOperationsPerNode);
}

size_t GraphRunner::measure(const Worker& worker, const Traits& traits, const BuildFunction& build) {
    const Built built = build_graph(worker, traits, build);
    return measure(worker, built.graph);
}

size_t GraphRunner::measure(const Worker& worker, ggml_cgraph* graph) {
    GallocrPtr allocator(ggml_gallocr_new(ggml_backend_get_default_buffer_type(worker.backend())));
    size_t size = 0;
    ggml_gallocr_reserve_n_size(allocator.get(), graph, nullptr, nullptr, &size);
    return size;
}

size_t GraphRunner::held_bytes() const {
    return allocator_ == nullptr ? 0 : ggml_gallocr_get_buffer_size(allocator_.get(), 0);
}

void GraphRunner::release() {
    key_.clear();
    built_ = Built();
    allocator_.reset();
    held_ = Held();
}

}  // namespace dg
