// Ids are transformers' CLIPTokenizer's for the same text, without start and end tokens.

#include "text/tokenizer.h"

#include <string>
#include <vector>

#include "base/error.h"
#include "check.h"

namespace {

std::string ids(const std::string& text) {
    std::string out;
    for (const int32_t id : dg::Tokenizer::instance().encode(text.data(), text.size())) {
        out += (out.empty() ? "" : " ") + std::to_string(id);
    }
    return out;
}

}  // namespace

CASE("words, contractions, digits and punctuation") {
    CHECK_EQ(ids("a photo of a cat"), std::string("320 1125 539 320 2368"));
    CHECK_EQ(ids("it's"), std::string("585 568"));
    CHECK_EQ(ids("12"), std::string("272 273"));
    CHECK_EQ(ids("cats!!"), std::string("3989 748"));
    CHECK_EQ(ids(""), std::string(""));
    CHECK_EQ(ids(" \t\n "), std::string(""));
}

CASE("letters beyond ASCII stay in their word") {
    CHECK_EQ(ids("caf\xc3\xa9"), std::string("15304"));
    CHECK_EQ(ids("na\xc3\xafve"), std::string("1097 35689 563"));
}

CASE("spaces of every kind separate") {
    CHECK_EQ(ids("a\xc2\xa0photo\xe3\x80\x80of"), ids("a photo of"));
}

CASE("a very long word takes no quadratic time") {
    const std::string word(200000, 'a');
    CHECK(!dg::Tokenizer::instance().encode(word.data(), word.size()).empty());
}

CASE("bytes that are not UTF-8 are refused with their offset") {
    for (const std::string& bad : {std::string("ab\xff"), std::string("ab\xc3"), std::string("ab\xe2\x28\xa1")}) {
        try {
            ids(bad);
            CHECK(!"no error");
        } catch (const dg::Error& e) {
            CHECK_EQ(e.status(), static_cast<dg_status>(DG_ERR_ARGUMENT));
            CHECK(std::string(e.what()).find("offset") != std::string::npos);
        }
    }
}

CHECK_MAIN()
