// Tensor names: every layout that SDXL files come in is brought to diffusers' names, prefixed by the
// component's folder name there ("unet.", "vae.", "text_encoder.", "text_encoder_2.").
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace dg {

enum class Layout { Original, Diffusers };

// How a source tensor becomes a canonical one.
struct NameMapping {
    std::string canonical;  // empty: not of any known component
    int32_t part   = 0;      // OpenCLIP fuses q, k, v along the rows: which third, of `parts`
    int32_t parts  = 1;
    bool transpose = false;  // OpenCLIP's text_projection is [width, projection]
};

// Maps all names of one file. They are needed together: where a level of the UNet ends shows only in which
// blocks hold a down- or upsampler. `role` is DG_ROLE_*; a file for one component may lack its prefix.
// The result has one or more mappings per source name, in the order of `names`.
std::vector<std::vector<NameMapping>> map_names(const std::vector<std::string>& names, int32_t role, Layout* layout);

// "unet." and so on for a component's DG_ROLE_*; "" for DG_ROLE_MODEL.
const char* component_prefix(int32_t role);

// Names that checkpoints carry and no component needs (schedules, position ids, EMA counters).
bool is_known_extra(const std::string& name);

}  // namespace dg
