// The merges of CLIP's byte pair encoding: OpenAI's file bpe_simple_vocab_16e6.txt, a version line and then a pair per line.
#pragma once

#include <string_view>

namespace dg {

std::string_view clip_merges();

}  // namespace dg
