// Texts in parts of a picture (attention couple): in every cross attention, the queries of a row attend to each of its texts, and the
// result is the sum of theirs by shares.
#pragma once

#include <utility>
#include <vector>

#include "modules/attention_site.h"

namespace dg {

// What a graph depends on. The last `rows` rows of a batch have `more` texts each beside their own.
struct TextRegionShape {
    int64_t more = 0;  // 0: none
    int64_t rows = 0;
    std::vector<std::pair<int64_t, int64_t>> levels;  // width and height of the shares for each level

    int64_t texts() const { return more * rows; }  // of all those rows, beside their own
    int64_t share_values() const;  // with padding
};

class TextRegions {
public:
    // Declares the input of shares, level by level, then text by text, [rows, cells] each, which begin at multiples of kInputAlign.
    TextRegions(GraphBuilder& g, const TextRegionShape& shape);

    // attention() of q [C, T, N] and texts. k, v [C, tokens, U]: of all texts. of_row [N + texts]: which of U each row has, and then each
    // further text of each row that has some, text by text.
    ggml_tensor* attend(GraphBuilder& g, const AttentionSite& site, ggml_tensor* q, ggml_tensor* k, ggml_tensor* v,
                        ggml_tensor* of_row) const;

private:
    ggml_tensor* share(GraphBuilder& g, const AttentionSite& site, int64_t text) const;

    const TextRegionShape shape_;
    ggml_tensor* shares_;
};

}  // namespace dg
