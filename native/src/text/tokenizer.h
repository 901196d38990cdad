// CLIP's byte pair encoding. Text is split by the Unicode classes of the reference tokenizer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace dg {

constexpr int32_t kTokenStart = 49406;
constexpr int32_t kTokenEnd   = 49407;

class Tokenizer {
public:
    // The process-wide instance, built at first use.
    static const Tokenizer& instance();

    // Ids of lower-cased NFC text in UTF-8; invalid bytes are an Error.
    std::vector<int32_t> encode(const char* text, size_t length) const;

private:
    struct Merge {
        int32_t rank;
        int32_t result;
    };

    Tokenizer();
    void encode_word(const std::string& word, std::vector<int32_t>& out) const;

    int32_t byte_ids_[256];  // id of a byte inside a word; +256 at its end
    std::unordered_map<uint64_t, Merge> merges_;  // (left id, right id)
};

}  // namespace dg
