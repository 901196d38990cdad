// Residuals of ControlNets that stay on a device. Nets add to them and the UNet reads them, so that nothing passes through the host
// within an evaluation.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/graph.h"
#include "backend/memory.h"
#include "modules/controlnet.h"

namespace dg {

class Residuals {
public:
    // Room for `rows` rows of latents of height x width, on the worker's device.
    Residuals(const Worker& worker, MemoryAccount* account, const UnetDims& dims, int64_t rows, int64_t height,
              int64_t width);
    // For measuring: shapes without memory.
    Residuals(const Device& device, const UnetDims& dims, int64_t rows, int64_t height, int64_t width);

    int64_t rows() const { return rows_; }
    int64_t id() const { return id_; }  // a number that no other has: a part of the keys of graphs
    const Device& device() const { return device_; }
    bool fits(const std::vector<ResidualShape>& shapes) const;

    void clear();  // to zeros

    // Rows first .. first+count-1 of each residual, as tensors of a graph: [width, height, channels, count].
    std::vector<ggml_tensor*> rows_of(GraphBuilder& g, int64_t first, int64_t count) const;

private:
    const Device& device_;
    const int64_t id_, rows_;
    ContextPtr ctx_;
    Held held_;
    BufferPtr buffer_;
    std::vector<ggml_tensor*> tensors_;
};

}  // namespace dg
