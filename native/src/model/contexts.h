// A batch's rows often have the same text: pictures of one prompt, and everybody's negative prompt. Its keys and values are
// computed once, in all of the UNet's layers.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/graph.h"
#include "modules/unet.h"

namespace dg {

class Contexts {
public:
    // context: `rows` texts of `floats` values each, which stay the caller's. Texts are the same if they are so bit for bit.
    Contexts(const float* context, int64_t rows, int64_t floats);

    int64_t distinct() const { return distinct_; }

    // Adds the graph's inputs for them, in the order of Contexts::inputs.
    static Unet::Context declare(GraphBuilder& g, int64_t width, int64_t tokens, int64_t distinct, int64_t rows);
    void inputs(std::vector<HostInput>* to) const;

private:
    const float* context_;
    int64_t rows_, floats_, distinct_;
    std::vector<float> values_;  // of the distinct ones; empty where all are
    std::vector<int32_t> of_row_;  // the text of each row, in the order of their first rows
};

}  // namespace dg
