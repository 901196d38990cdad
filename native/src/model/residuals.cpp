#include "model/residuals.h"

#include <atomic>

#include "backend/lost.h"
#include "base/error.h"

namespace dg {

namespace {

std::atomic<int64_t> next_id{1};

}  // namespace

Residuals::Residuals(const Device& device, const UnetDims& dims, int64_t rows, int64_t height, int64_t width)
    : device_(device),
      id_(next_id++),
      rows_(rows) {
    const std::vector<ResidualShape> shapes = residual_shapes(dims, height, width);
    ggml_init_params params;
    params.mem_size   = ggml_tensor_overhead() * shapes.size();
    params.mem_buffer = nullptr;
    params.no_alloc   = true;
    ctx_.reset(ggml_init(params));
    if (ctx_ == nullptr) {
        fail(DG_ERR_OUT_OF_MEMORY, "no memory for the description of a ControlNet's residuals");
    }
    for (const ResidualShape& s : shapes) {
        tensors_.push_back(ggml_new_tensor_4d(ctx_.get(), GGML_TYPE_F32, s.width, s.height, s.channels, rows));
    }
    put_nowhere(ctx_.get());
}

Residuals::Residuals(const Worker& worker, MemoryAccount* account, const UnetDims& dims, int64_t rows, int64_t height,
                     int64_t width)
    : Residuals(worker.device(), dims, rows, height, width) {
    for (ggml_tensor* t : tensors_) {
        t->data = nullptr;
    }
    ggml_backend_buffer_type_t type = ggml_backend_get_default_buffer_type(worker.backend());
    const size_t bytes              = ggml_backend_alloc_ctx_tensors_from_buft_size(ctx_.get(), type);
    on_device(device_, "residuals", [&] {
        check_allocation("residuals of ControlNets", bytes, device_.id);
        buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(ctx_.get(), type));
        if (buffer_ == nullptr) {
            out_of_memory("residuals of ControlNets", bytes, device_.id);
        }
        ggml_backend_buffer_clear(buffer_.get(), 0);
    });
    held_ = Held(account, MemoryAccount::kCompute, static_cast<int64_t>(bytes));
}

bool Residuals::fits(const std::vector<ResidualShape>& shapes) const {
    bool same = shapes.size() == tensors_.size();
    for (size_t i = 0; same && i < shapes.size(); i++) {
        same = shapes[i].width == tensors_[i]->ne[0] && shapes[i].height == tensors_[i]->ne[1] &&
               shapes[i].channels == tensors_[i]->ne[2];
    }
    return same;
}

void Residuals::clear() {
    on_device(device_, "residuals", [&] { ggml_backend_buffer_clear(buffer_.get(), 0); });
}

std::vector<ggml_tensor*> Residuals::rows_of(GraphBuilder& g, int64_t first, int64_t count) const {
    std::vector<ggml_tensor*> rows;
    for (ggml_tensor* t : tensors_) {
        rows.push_back(ggml_view_4d(g.ctx, t, t->ne[0], t->ne[1], t->ne[2], count, t->nb[1], t->nb[2], t->nb[3],
                                    static_cast<size_t>(first) * t->nb[3]));
    }
    return rows;
}

}  // namespace dg
