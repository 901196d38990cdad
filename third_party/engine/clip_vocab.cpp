// The engine's vocab.cpp holds the tables of every tokenizer it knows, 230 MB of source, most of
// them for language models that SDXL has no use for. This file defines the one accessor that the
// CLIP tokenizer calls.
#include "tokenizers/vocab/clip_merges.hpp"
#include "tokenizers/vocab/vocab.h"

std::string load_clip_merges() {
    return std::string(reinterpret_cast<const char*>(clip_merges_utf8_c_str),
                       sizeof(clip_merges_utf8_c_str));
}
