#include "model/features.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/error.h"
#include "model/compute_common.h"
#include "model/model.h"
#include "model/region_texts.h"

namespace dg {

static int64_t values_of(const FeatureShape& shape) {
    int64_t values = 1;
    for (const int64_t n : shape) {
        values *= n;
    }
    return values;
}

int64_t feature_bytes(const std::vector<FeatureShape>& shapes, int64_t rows) {
    int64_t bytes = 0;
    for (const FeatureShape& shape : shapes) {
        bytes += values_of(shape) * rows * static_cast<int64_t>(sizeof(float));
    }
    return bytes;
}

void Features::allocate(const std::string& what, std::vector<FeatureShape> shapes, int64_t rows, const Worker& worker) {
    static std::atomic<int64_t> rooms{0};
    if (has_room(what)) {
        return;
    }
    const auto bytes = static_cast<size_t>(feature_bytes(shapes, rows));
    describe(std::move(shapes), rows);
    for (ggml_tensor* t : tensors_) {
        t->data = nullptr;
    }
    const std::string purpose = "features of the UNet";
    check_allocation(purpose, bytes, worker.device().id);
    buffer_.reset(ggml_backend_alloc_ctx_tensors(ctx_.get(), worker.backend()));
    if (buffer_ == nullptr) {
        out_of_memory(purpose, bytes, worker.device().id);
    }
    held_ = Held(account_, MemoryAccount::kCompute, static_cast<int64_t>(ggml_backend_buffer_get_size(buffer_.get())));
    what_ = what;
    id_   = ++rooms;
}

void Features::describe(std::vector<FeatureShape> shapes, int64_t rows) {
    filled_ = false;
    tensors_.clear();
    buffer_.reset();
    held_ = Held();
    ctx_.reset(ggml_init({ggml_tensor_overhead() * (shapes.size() + 1), nullptr, true}));
    if (ctx_ == nullptr) {
        fail(DG_ERR_OUT_OF_MEMORY, "no memory to describe %zu features", shapes.size());
    }
    for (const FeatureShape& shape : shapes) {
        tensors_.push_back(ggml_new_tensor_2d(ctx_.get(), GGML_TYPE_F32, values_of(shape), rows));
    }
    put_nowhere(ctx_.get());
    shapes_ = std::move(shapes);
}

ggml_tensor* Features::rows(ggml_context* ctx, size_t i, int64_t first, int64_t count) const {
    ggml_tensor* all          = tensors_.at(i);
    const FeatureShape& shape = shapes_.at(i);
    const size_t offset       = static_cast<size_t>(first) * all->nb[1];
    const size_t line         = static_cast<size_t>(shape[0]) * sizeof(float);
    const size_t plane        = line * static_cast<size_t>(shape[1]);
    return shape.size() == 2
               ? ggml_view_3d(ctx, all, shape[0], shape[1], count, line, plane, offset)
               : ggml_view_4d(ctx, all, shape[0], shape[1], shape[2], count, line, plane, all->nb[1], offset);
}

// The features of one row of an evaluation.
std::vector<FeatureShape> Model::feature_shapes(const FeatureUse& use, int64_t height, int64_t width,
                                                int64_t tokens) const {
    std::vector<FeatureShape> shapes;
    const Worker& worker      = *components_[kUnet].worker;
    const BuildFunction build = [&](GraphBuilder& g) {
        Unet::Keep keep;
        keep.kind   = use.keep;
        keep.branch = use.branch;
        declare_unet(g, 1, height, width, tokens, 1, nullptr, &keep);
        for (const ggml_tensor* made : keep.made) {
            shapes.emplace_back(made->ne, made->ne + (use.keep == DG_KEEP_DEEP ? 3 : 2));
        }
    };
    GraphRunner::inspect(worker, traits(worker), build, [](ggml_tensor*) {});
    return shapes;
}

void Model::check_features(const FeatureUse& use) const {
    check_range("keep", use.keep, DG_KEEP_DEEP, DG_KEEP_TEXT_ATTENTION);
    check_range("features_use", use.use, DG_FEATURES_STORE, DG_FEATURES_REUSE);
    check_range("branch", use.branch, 0,
                use.keep == DG_KEEP_DEEP ? static_cast<int64_t>(unet_->skips()) - 1 : int64_t{0});
}

void Model::prepare_features(Features& features, const FeatureUse& use, const dg_unet_input& in) {
    check_features(use);
    // Results depend on the axes that wrap around; a graph of other axes may not go on with them.
    const std::string what = shape_key("features", {use.keep, use.branch, in.batch, in.height, in.width, wrap_});
    if (use.use != DG_FEATURES_STORE) {
        if (!features.holds(what)) {
            fail(DG_ERR_ARGUMENT, "features: nothing is stored for %lld rows of %lld x %lld cells; store first",
                 static_cast<long long>(in.batch), static_cast<long long>(in.width), static_cast<long long>(in.height));
        }
        return;
    }
    if (!features.has_room(what)) {
        features.allocate(what, feature_shapes(use, in.height, in.width, in.context_tokens), in.batch,
                          *components_[kUnet].worker);
    }
}

BuildFunction Model::unet_graph_with(const Features& features, const FeatureUse& use, int64_t first, int64_t batch,
                                     int64_t height, int64_t width, int64_t tokens, int64_t texts,
                                     const AdapterStack* stack, const UnetBeside& beside) const {
    const Features* const f = &features;
    return [=](GraphBuilder& g) {
        Unet::Keep keep;
        keep.kind   = use.keep;
        keep.branch = use.branch;
        keep.reuse  = use.reuses();
        for (size_t i = 0; keep.reuse && i < f->count(); i++) {
            keep.kept.push_back(f->rows(g.ctx, i, first, batch));
        }
        g.output(declare_unet(g, batch, height, width, tokens, texts, stack, &keep, beside));
        for (size_t i = 0; i < keep.made.size(); i++) {
            ggml_tensor* to   = f->rows(g.ctx, i, first, batch);
            ggml_tensor* from = keep.made[i];
            if (use.use == DG_FEATURES_MEAN) {
                from = ggml_scale(g.ctx, ggml_add(g.ctx, to, from), 0.5f);
            }
            g.effect(ggml_cpy(g.ctx, from, to));
        }
    };
}

// What keeping takes beside the UNet's buffer. A deep feature has a second graph, whose buffer stays beside that of the first.
size_t Model::features_size(const dg_compute_query& q, const Model* xs) const {
    const FeatureUse use{q.keep, q.features_use, q.branch};
    check_features(use);
    const auto shapes = feature_shapes(use, q.height, q.width, q.context_tokens);
    const auto bytes  = static_cast<size_t>(feature_bytes(shapes, q.batch));
    const bool second = use.keep == DG_KEEP_DEEP && use.reuses() && components_[kUnet].params->stream() == nullptr;
    return second ? bytes + unet_compute_size(q, xs) : bytes;
}

}  // namespace dg
