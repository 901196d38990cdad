#include "model/contexts.h"

#include <algorithm>
#include <cstring>

#include "model/compute_common.h"

namespace dg {

Contexts::Contexts(const float* context, int64_t rows, int64_t floats, const std::vector<const float*>& more)
    : context_(context),
      rows_(rows),
      floats_(floats) {
    std::vector<const float*> first;  // of the different texts
    const auto number = [&](const float* at) {
        size_t text = 0;
        while (text < first.size() && std::memcmp(first[text], at, static_cast<size_t>(floats) * sizeof(float)) != 0) {
            text++;
        }
        if (text == first.size()) {
            first.push_back(at);
        }
        of_row_.push_back(static_cast<int32_t>(text));
    };
    for (int64_t row = 0; row < rows; row++) {
        number(context + row * floats);
    }
    std::for_each(more.begin(), more.end(), number);
    distinct_ = static_cast<int64_t>(first.size());
    if (distinct_ < rows || !more.empty()) {
        for (const float* at : first) {
            values_.insert(values_.end(), at, at + floats);
        }
    }
}

Unet::Context Contexts::declare(GraphBuilder& g, int64_t width, int64_t tokens, int64_t distinct, int64_t rows,
                                int64_t more) {
    Unet::Context context;
    context.texts  = g.input(GGML_TYPE_F32, width, tokens, distinct);
    context.of_row = distinct < rows || more > 0 ? g.input(GGML_TYPE_I32, rows + more) : nullptr;
    return context;
}

void Contexts::inputs(std::vector<HostInput>* to) const {
    if (values_.empty()) {
        to->push_back(input_of(context_, rows_ * floats_));
        return;
    }
    to->push_back(input_of(values_));
    to->push_back(input_of(of_row_));
}

}  // namespace dg
