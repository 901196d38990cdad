// What stock prints: one JSON object per line on standard output.
#pragma once

#include <cstdint>
#include <string>

// One line; fields keep their order.
class Event {
public:
    explicit Event(const char* name);
    Event& text(const char* key, const std::string& value);
    Event& number(const char* key, double value);
    Event& integer(const char* key, int64_t value);
    void print() const;

private:
    void key(const char* name);
    std::string line_;
};
