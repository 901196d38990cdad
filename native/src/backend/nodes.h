// What nodes of a graph compute with, in words; groups of nodes that are alike.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "ggml.h"

namespace dg {

struct NodeGroup {
    std::string op, operands, example;
    bool supported        = true;
    int64_t count         = 0;
    int64_t largest_bytes = 0;
};

// The group of one node. `supported` is left alone.
NodeGroup describe_node(const ggml_tensor* node);

// Whether a backend computes the node: views are only other names of a tensor.
bool is_computed(const ggml_tensor* node);

// Adds a node to its group.
void add_node(std::vector<NodeGroup>* groups, const ggml_tensor* node, bool supported);

}  // namespace dg
