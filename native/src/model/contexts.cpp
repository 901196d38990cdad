#include "model/contexts.h"

#include <cstring>

#include "model/compute_common.h"

namespace dg {

Contexts::Contexts(const float* context, int64_t rows, int64_t floats)
    : context_(context),
      rows_(rows),
      floats_(floats) {
    std::vector<int64_t> first;  // for each different text, its first row
    for (int64_t row = 0; row < rows; row++) {
        size_t text    = 0;
        const auto* at = context + row * floats;
        while (text < first.size() &&
               std::memcmp(context + first[text] * floats, at, static_cast<size_t>(floats) * sizeof(float)) != 0) {
            text++;
        }
        if (text == first.size()) {
            first.push_back(row);
        }
        of_row_.push_back(static_cast<int32_t>(text));
    }
    distinct_ = static_cast<int64_t>(first.size());
    if (distinct_ < rows) {
        for (const int64_t row : first) {
            values_.insert(values_.end(), context + row * floats, context + (row + 1) * floats);
        }
    }
}

Unet::Context Contexts::declare(GraphBuilder& g, int64_t width, int64_t tokens, int64_t distinct, int64_t rows) {
    Unet::Context context;
    context.texts  = g.input(GGML_TYPE_F32, width, tokens, distinct);
    context.of_row = distinct < rows ? g.input(GGML_TYPE_I32, rows) : nullptr;
    return context;
}

void Contexts::inputs(std::vector<HostInput>* to) const {
    if (distinct_ == rows_) {
        to->push_back(input_of(context_, rows_ * floats_));
        return;
    }
    to->push_back(input_of(values_));
    to->push_back(input_of(of_row_));
}

}  // namespace dg
