// Results of layers inside the UNet that an evaluation stores and later ones reuse: DeepCache's deep feature (arXiv:2312.00858) and
// T-GATE's cross-attention (arXiv:2404.02747). They stay on the UNet's device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/device.h"
#include "backend/graph.h"
#include "backend/memory.h"
#include "modules/unet.h"

namespace dg {

// What one evaluation does with features.
struct FeatureUse {
    int32_t keep   = DG_KEEP_NONE;
    int32_t use    = DG_FEATURES_STORE;
    int64_t branch = 0;

    bool reuses() const { return keep != DG_KEEP_NONE && use == DG_FEATURES_REUSE; }
};

// The shape of one row of a feature: 2 or 3 dimensions.
using FeatureShape = std::vector<int64_t>;

int64_t feature_bytes(const std::vector<FeatureShape>& shapes, int64_t rows);

class Features {
public:
    explicit Features(MemoryAccount* account) : account_(account) {}

    // Makes room. `what` names everything that the shapes depend on: while it stays the same, the room stays.
    void allocate(const std::string& what, std::vector<FeatureShape> shapes, int64_t rows, const Worker& worker);
    // For measuring: the tensors without memory.
    void describe(std::vector<FeatureShape> shapes, int64_t rows);
    bool has_room(const std::string& what) const { return buffer_ != nullptr && what == what_; }

    bool holds(const std::string& what) const { return filled_ && has_room(what); }
    void set_filled(bool filled) { filled_ = filled; }

    // No two rooms of a process have the same number: graphs that use them have it in their key.
    int64_t id() const { return id_; }
    size_t count() const { return shapes_.size(); }
    // `count` rows of feature i, from `first` on, in the feature's shape.
    ggml_tensor* rows(ggml_context* ctx, size_t i, int64_t first, int64_t count) const;

private:
    MemoryAccount* account_;
    std::string what_;
    bool filled_ = false;
    int64_t id_  = 0;
    ContextPtr ctx_;
    BufferPtr buffer_;
    Held held_;
    std::vector<FeatureShape> shapes_;
    std::vector<ggml_tensor*> tensors_;  // [values of a row, rows]
};

}  // namespace dg
