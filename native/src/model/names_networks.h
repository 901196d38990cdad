// Tensor names of the small networks that stand beside SDXL's own: see names.h.
#pragma once

#include <string>
#include <vector>

#include "model/names.h"

namespace dg {

// diffusers' AutoencoderTiny ("encoder.layers.3.conv.0.weight"), or one half in the original layout ("3.conv.0.weight"), where
// the decoder has a layer without weights at place 0. Canonical: "taesd." and diffusers' name.
std::vector<std::vector<NameMapping>> map_taesd(const std::vector<std::string>& names, Layout* layout);

// ESRGAN's RRDBNet as BasicSR names it ("body.3.rdb1.conv2.weight"), as its first publication did ("RRDB_trunk.3.RDB1.conv2.weight") and
// in the still older sequential way ("model.1.sub.3.RDB1.conv2.0.weight"). Canonical: "upscaler." and BasicSR's name.
std::vector<std::vector<NameMapping>> map_upscaler(const std::vector<std::string>& names, Layout* layout);

}  // namespace dg
