#include "events.h"

#include <cmath>
#include <cstdio>

namespace {

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (unsigned char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (c < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", c);
            out += escape;
        } else {
            out += static_cast<char>(c);
        }
    }
    return out + "\"";
}

}  // namespace

Event::Event(const char* name) { text("event", name); }

void Event::key(const char* name) {
    line_ += line_.empty() ? "{" : ",";
    line_ += quoted(name) + ":";
}

Event& Event::text(const char* name, const std::string& value) {
    key(name);
    line_ += quoted(value);
    return *this;
}

Event& Event::number(const char* name, double value) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.6f", std::isfinite(value) ? value : 0.0);
    key(name);
    line_ += digits;
    return *this;
}

Event& Event::integer(const char* name, int64_t value) {
    key(name);
    line_ += std::to_string(value);
    return *this;
}

void Event::print() const {
    std::printf("%s}\n", line_.c_str());
    std::fflush(stdout);
}
