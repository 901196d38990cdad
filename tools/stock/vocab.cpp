// Takes the place of the engine's src/tokenizers/vocab/vocab.cpp: SDXL's text encoders need
// CLIP's merges only, and the tables of the language models take minutes to compile.
#include <stdexcept>
#include <string>

#include "tokenizers/vocab/clip_merges.hpp"
#include "tokenizers/vocab/vocab.h"

static std::string absent(const char* what) {
    throw std::logic_error(std::string("tools/stock is built without the vocabulary of ") + what +
                           "; it runs SDXL only");
}

std::string load_clip_merges() {
    return std::string(reinterpret_cast<const char*>(clip_merges_utf8_c_str), sizeof(clip_merges_utf8_c_str));
}

std::string load_qwen2_merges() { return absent("Qwen2"); }
std::string load_mistral_merges() { return absent("Mistral"); }
std::string load_mistral_vocab_json() { return absent("Mistral"); }
std::string load_t5_tokenizer_json() { return absent("T5"); }
std::string load_umt5_tokenizer_json() { return absent("UMT5"); }
std::string load_gemma_merges() { return absent("Gemma"); }
std::string load_gemma_vocab_json() { return absent("Gemma"); }
std::string load_gemma2_merges() { return absent("Gemma 2"); }
std::string load_gemma2_vocab_json() { return absent("Gemma 2"); }
std::string load_gpt_oss_merges() { return absent("gpt-oss"); }
std::string load_gpt_oss_vocab_json() { return absent("gpt-oss"); }
