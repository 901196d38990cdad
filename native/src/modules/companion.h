// A place for a network that is evaluated together with a UNet, sub-block by sub-block (ControlNet-XS): it reads what the UNet has made
// so far, and adds to it.
#pragma once

#include <cstddef>

#include "backend/graph.h"

namespace dg {

// One evaluation of it. The UNet calls these in the order of its graph. Without a companion the UNet's graph is as it always was.
class Companion {
public:
    virtual ~Companion() = default;

    // What is the time's embedding, before that of the label is added: `own` is the UNet's, of the sinusoids.
    virtual ggml_tensor* time(GraphBuilder& g, ggml_tensor* sinusoids, ggml_tensor* own) = 0;
    // After the first convolution, which made x of the sample.
    virtual ggml_tensor* enter(GraphBuilder& g, ggml_tensor* sample, ggml_tensor* x) = 0;
    // After a sub-block of the trunk, which made `out` of `in`: a resnet with its attention, a halving, or the whole middle. embedding:
    // as Unet::embed makes it.
    virtual ggml_tensor* step(GraphBuilder& g, ggml_tensor* in, ggml_tensor* out, ggml_tensor* embedding) = 0;
    // On the way up, before x meets a skip. FreeU comes after it.
    virtual ggml_tensor* rise(GraphBuilder& g, size_t skip, ggml_tensor* x) = 0;
};

}  // namespace dg
