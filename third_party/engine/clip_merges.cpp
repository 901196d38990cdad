#include "clip_merges.h"

#include "tokenizers/vocab/clip_merges.hpp"  // of stable-diffusion.cpp

std::string_view dg::clip_merges() {
    return {reinterpret_cast<const char*>(clip_merges_utf8_c_str), sizeof(clip_merges_utf8_c_str)};
}
