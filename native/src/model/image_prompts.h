// The pictures of one call of the UNet: checked, and put in the order in which the graph reads them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "backend/graph.h"
#include "daguerre.h"
#include "modules/picture_attention.h"

namespace dg {

using PictureShapes = std::vector<PictureShape>;

class ImagePrompts {
public:
    // channels: of the UNet's cross attentions. levels: width and height of the latents and of each level below.
    ImagePrompts(const dg_unet_input& in, const std::vector<int64_t>& channels,
                 const std::vector<std::pair<int64_t, int64_t>>& levels);

    const PictureShapes& shapes() const { return shapes_; }
    std::string key() const;  // what a graph depends on, as text

    // What differs between the shares of a batch: which pictures each row has, and how much they count.
    struct Rows {
        std::vector<std::vector<int32_t>> of_row;
        std::vector<std::vector<float>> scales;
    };
    Rows rows(int64_t first, int64_t count) const;

    // The inputs in the order of PictureAttention. They point into this and into `rows`.
    void inputs(const Rows& rows, std::vector<HostInput>* to) const;

private:
    void add(const dg_image_prompt& p, int64_t n, const std::vector<int64_t>& channels,
             const std::vector<std::pair<int64_t, int64_t>>& levels);

    PictureShapes shapes_;
    std::vector<const int32_t*> of_row_;
    std::vector<const float*> scales_;
    std::vector<std::vector<float>> values_, masks_;
};

}  // namespace dg
