// What an evaluation of the UNet has beside its sample, its times and its texts. Graphs keep copies.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "backend/graph.h"
#include "model/image_prompts.h"
#include "model/residuals.h"
#include "modules/control_xs.h"
#include "modules/text_regions.h"
#include "modules/unet_change.h"

namespace dg {

struct UnetBeside {
    bool residuals = false;  // of ControlNets, as inputs of the graph
    PictureShapes pictures;
    std::shared_ptr<const ChangeShape> change;  // NULL: nothing changes
    const Residuals* on_device = nullptr;  // instead of those inputs; NULL: none
    int64_t first              = 0;  // the graph's first row among those on the device
    int64_t block_rows         = 0;  // of T2I-Adapters' features: 0: none, 1, or the graph's rows
    TextRegionShape regions;
    const ControlXs* xs = nullptr;  // NULL: none
};

// A ControlNet-XS of an evaluation.
struct XsBeside {
    const ControlXs* net = nullptr;
    HostInput hint{nullptr, 0};
    float scale = 0;
    std::string key;  // of a graph that has it
};

}  // namespace dg
