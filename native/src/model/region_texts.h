// The texts that rows of one evaluation have in parts of the picture: checked, and cut for the shares of a batch.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "backend/graph.h"
#include "daguerre.h"
#include "modules/text_regions.h"

namespace dg {

class RegionTexts {
public:
    // in: NULL: none. rows: of the evaluation. floats: of a text. levels: width and height of the latents and of each level below.
    RegionTexts(const dg_text_regions* in, int64_t rows, int64_t floats,
                const std::vector<std::pair<int64_t, int64_t>>& levels);

    // What the graph of some rows is given.
    struct Lane {
        TextRegionShape shape;
        std::vector<const float*> texts;  // text by text, of each row that has some
        std::vector<float> shares;  // the input of TextRegions

        std::string key() const;  // what a graph depends on, as text
        void inputs(std::vector<HostInput>* to) const;  // behind those of the texts
    };
    Lane lane(int64_t first, int64_t count) const;

private:
    dg_text_regions in_{};
    int64_t rows_, floats_, cells_ = 0;  // cells: of all levels
    std::vector<std::pair<int64_t, int64_t>> levels_;
};

// The same of a graph that is measured: rows first .. first+count-1.
TextRegionShape region_shape(const dg_compute_query& q, int64_t first, int64_t count,
                             const std::vector<std::pair<int64_t, int64_t>>& levels);
// How many different texts they have beside their own.
int64_t region_texts(const dg_compute_query& q, int64_t first, int64_t count);

}  // namespace dg
