// The different texts of a batch. Many rows have the same text: pictures of one prompt, or with one negative prompt. The UNet
// computes the keys and values of each different text once.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/graph.h"
#include "modules/unet.h"

namespace dg {

class Contexts {
public:
    // context: `rows` texts of `floats` values each. more: those that rows have beside their own. The caller keeps them alive. Two texts
    // are the same if all bits are equal.
    Contexts(const float* context, int64_t rows, int64_t floats, const std::vector<const float*>& more = {});

    int64_t distinct() const { return distinct_; }

    // Adds the inputs of the texts to a graph, in the order of Contexts::inputs.
    static Unet::Context declare(GraphBuilder& g, int64_t width, int64_t tokens, int64_t distinct, int64_t rows,
                                 int64_t more = 0);
    void inputs(std::vector<HostInput>* to) const;

private:
    const float* context_;
    int64_t rows_, floats_, distinct_;
    std::vector<float> values_;  // the different texts; empty if each row has one of its own and nothing more
    std::vector<int32_t>
        of_row_;  // for each row, then for each further text, its number; they are numbered as they first appear
};

}  // namespace dg
