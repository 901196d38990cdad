// The nano model's table of weights, as `go run ./tools/nanopath -table FILE` writes it: the model's path in the first line, then for
// each weight its name, its name in the file, type, offset, bytes, number of dimensions and shape, whether it has strides, and those.
#pragma once

#include <cstdlib>
#include <deque>
#include <fstream>
#include <string>
#include <vector>

#include "check.h"
#include "daguerre.h"

namespace check {

struct Table {
    std::string path;
    std::deque<std::string> texts;  // what the weights point to
    std::vector<dg_weight> weights;
};

// Without DAGUERRE_TEST_TABLE the case fails and says how to get it.
inline const Table& nano() {
    static Table table;
    if (!table.weights.empty()) {
        return table;
    }
    const char* path = std::getenv("DAGUERRE_TEST_TABLE");
    std::ifstream in(path == nullptr ? "" : path);
    if (!std::getline(in, table.path)) {
        report(false, __FILE__, __LINE__,
               "DAGUERRE_TEST_TABLE names no table: run `make test-native`, or write one with "
               "`go run ./tools/nanopath -table FILE`");
        throw Stop{};
    }
    std::string name, stored;
    while (in >> name >> stored) {
        dg_weight w;
        std::memset(&w, 0, sizeof(w));
        w.struct_size = sizeof(w);
        w.name        = table.texts.emplace_back(name).c_str();
        w.stored      = table.texts.emplace_back(stored).c_str();
        in >> w.type >> w.offset >> w.bytes >> w.dims;
        for (int i = 0; i < w.dims; i++) {
            in >> w.shape[i];
        }
        in >> w.strided;
        for (int i = 0; w.strided != 0 && i < w.dims; i++) {
            in >> w.strides[i];
        }
        table.weights.push_back(w);
    }
    return table;
}

}  // namespace check
