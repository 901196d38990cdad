// Where a model spends its time: seconds by stage, module and operation. Each node is measured.
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "backend/device.h"
#include "ggml.h"

namespace dg {

class Profile {
public:
    struct Key {
        std::string stage, module, op;
        bool operator<(const Key& o) const { return std::tie(stage, module, op) < std::tie(o.stage, o.module, o.op); }
    };
    struct Entry {
        int64_t calls     = 0;
        double seconds    = 0;
        double operations = 0;  // multiplications and additions of products
    };

    // Also clears the measured times.
    void enable(bool enabled);
    bool enabled() const { return enabled_; }

    // Computes a graph one node at a time and adds up the time of each.
    ggml_status run(const std::string& stage, ggml_backend_t backend, ggml_cgraph* graph);

    const std::map<Key, Entry>& entries() const { return entries_; }

private:
    bool enabled_ = false;
    std::map<Key, Entry> entries_;
};

// Multiplications and additions of a node that is a product of matrices, a convolution or an attention; 0 for others.
double product_operations(const ggml_tensor* node);

}  // namespace dg
