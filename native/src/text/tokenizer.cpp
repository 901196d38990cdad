#include "text/tokenizer.h"

#include <algorithm>
#include <iterator>
#include <queue>
#include <sstream>
#include <tuple>

#include "base/error.h"
#include "clip_merges.h"
#include "text/unicode_tables.h"

namespace dg {

namespace {

uint64_t pair_key(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

// Bytes that GPT-2's alphabet writes as themselves. CLIP's first 256 tokens are this alphabet.
bool is_printable(int b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

void append_utf8(std::string& out, char32_t c) {
    if (c < 0x80) {
        out += static_cast<char>(c);
    } else {  // aliases stay below 0x800
        out += static_cast<char>(0xc0 | (c >> 6));
        out += static_cast<char>(0x80 | (c & 0x3f));
    }
}

struct CodePoint {
    char32_t value;
    size_t offset;
    size_t size;
};

CodePoint decode_at(const char* text, size_t length, size_t offset) {
    const auto byte           = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(offset);
    size_t size               = 1;
    char32_t value            = first;
    if (first >= 0xf0 && first < 0xf5) {
        size  = 4;
        value = first & 0x07u;
    } else if (first >= 0xe0 && first < 0xf0) {
        size  = 3;
        value = first & 0x0fu;
    } else if (first >= 0xc2 && first < 0xe0) {
        size  = 2;
        value = first & 0x1fu;
    } else if (first >= 0x80) {
        fail(DG_ERR_ARGUMENT, "text: byte 0x%02x at offset %zu is not UTF-8", first, offset);
    }
    if (offset + size > length) {
        fail(DG_ERR_ARGUMENT, "text: ends inside a UTF-8 sequence at offset %zu", offset);
    }
    for (size_t i = 1; i < size; i++) {
        if ((byte(offset + i) & 0xc0) != 0x80) {
            fail(DG_ERR_ARGUMENT, "text: byte 0x%02x at offset %zu is not UTF-8", byte(offset + i), offset + i);
        }
        value = (value << 6) | (byte(offset + i) & 0x3fu);
    }
    return {value, offset, size};
}

enum class Class { Space, Letter, Number, Other };

// Code points with Unicode's White_Space property.
bool is_white_space(char32_t c) {
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

template <size_t n>
bool is_among(const CodePointRun (&runs)[n], char32_t c) {
    const auto run = std::lower_bound(std::begin(runs), std::end(runs), c,
                                      [](const CodePointRun& r, char32_t v) { return r.last < v; });
    return run != std::end(runs) && run->first <= c;
}

Class classify(char32_t c) {
    if (is_white_space(c)) {
        return Class::Space;
    }
    if (is_among(kLetters, c)) {
        return Class::Letter;
    }
    return is_among(kNumbers, c) ? Class::Number : Class::Other;
}

// Length of an English contraction at the offset, 0 if there is none.
size_t contraction_length(const char* text, size_t length, size_t offset) {
    static const char* const forms[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (const char* form : forms) {
        const size_t size = std::char_traits<char>::length(form);
        if (offset + size <= length && std::char_traits<char>::compare(text + offset, form, size) == 0) {
            return size;
        }
    }
    return 0;
}

}  // namespace

const Tokenizer& Tokenizer::instance() {
    static const Tokenizer tokenizer;
    return tokenizer;
}

Tokenizer::Tokenizer() {
    std::unordered_map<std::string, int32_t> ids;
    int32_t id          = 0;
    char32_t next_alias = 256;
    for (const bool printable :
         {true, false}) {  // the printable bytes come first, then the rest as code points from 256
        for (int b = 0; b < 256; b++) {
            if (is_printable(b) == printable) {
                std::string alias;
                append_utf8(alias, printable ? static_cast<char32_t>(b) : next_alias++);
                ids[alias]          = id;
                ids[alias + "</w>"] = id + 256;
                byte_ids_[b]        = id++;
            }
        }
    }
    std::istringstream lines{std::string(clip_merges())};
    std::string line;
    std::getline(lines, line);  // the version line
    int32_t next = 512;
    int32_t rank = 0;
    while (next < kTokenStart && std::getline(lines, line)) {
        if (!line.empty() && line.back() == '\r') {
            line.pop_back();
        }
        const size_t space = line.find(' ');
        if (space == std::string::npos) {
            continue;
        }
        const std::string left = line.substr(0, space), right = line.substr(space + 1);
        const auto l = ids.find(left), r = ids.find(right);
        if (l != ids.end() && r != ids.end()) {
            merges_[pair_key(l->second, r->second)] = {rank, next};
        }
        ids[left + right] = next++;
        rank++;
    }
    if (next != kTokenStart) {
        fail(DG_ERR_ENGINE, "CLIP's vocabulary has %d tokens where %d are wanted", next, kTokenStart);
    }
}

std::vector<int32_t> Tokenizer::encode(const char* text, size_t length) const {
    std::vector<int32_t> out;
    size_t at = 0;
    while (at < length) {
        if (const size_t size = contraction_length(text, length, at)) {
            encode_word(std::string(text + at, size), out);
            at += size;
            continue;
        }
        const CodePoint first = decode_at(text, length, at);
        const Class kind      = classify(first.value);
        size_t end            = at + first.size;
        if (kind == Class::Space) {
            at = end;
            continue;
        }
        while (kind != Class::Number && end < length) {  // digits stand alone, the rest comes in runs
            const CodePoint next = decode_at(text, length, end);
            if (classify(next.value) != kind) {
                break;
            }
            end += next.size;
        }
        encode_word(std::string(text + at, end - at), out);
        at = end;
    }
    return out;
}

// Merges the pair of lowest rank first, the leftmost of equals: a linked list of symbols and a heap of
// candidate pairs, so that a word of n bytes takes n log n.
void Tokenizer::encode_word(const std::string& word, std::vector<int32_t>& out) const {
    const int32_t count = static_cast<int32_t>(word.size());
    std::vector<int32_t> symbol(word.size()), next(word.size()), previous(word.size());
    for (int32_t i = 0; i < count; i++) {
        symbol[i]   = byte_ids_[static_cast<unsigned char>(word[i])] + (i == count - 1 ? 256 : 0);
        next[i]     = i + 1 < count ? i + 1 : -1;
        previous[i] = i - 1;
    }
    using Candidate = std::tuple<int32_t, int32_t, int32_t, int32_t>;  // rank, left index, left id, right id
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<Candidate>> heap;
    const auto offer = [&](int32_t left) {
        if (left < 0 || next[left] < 0) {
            return;
        }
        const auto merge = merges_.find(pair_key(symbol[left], symbol[next[left]]));
        if (merge != merges_.end()) {
            heap.emplace(merge->second.rank, left, symbol[left], symbol[next[left]]);
        }
    };
    for (int32_t i = 0; i + 1 < count; i++) {
        offer(i);
    }
    while (!heap.empty()) {
        const auto [rank, left, left_id, right_id] = heap.top();
        heap.pop();
        (void)rank;
        const int32_t right = next[left];
        if (symbol[left] != left_id || right < 0 || symbol[right] != right_id) {
            continue;  // one side has been merged since
        }
        symbol[left]  = merges_.at(pair_key(left_id, right_id)).result;
        symbol[right] = -1;
        next[left]    = next[right];
        if (next[left] >= 0) {
            previous[next[left]] = left;
        }
        offer(previous[left]);
        offer(left);
    }
    for (int32_t i = 0; i >= 0 && i < count; i = next[i]) {
        out.push_back(symbol[i]);
    }
}

}  // namespace dg
