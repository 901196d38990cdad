#include "backend/nodes.h"

#include <algorithm>

namespace dg {

namespace {

std::string type_of(const ggml_tensor* t) {
    return std::string(ggml_type_name(t->type)) + (ggml_is_contiguous(t) ? "" : "~");
}

std::string shape_of(const ggml_tensor* t) {
    std::string text = "[";
    for (int i = 0; i < ggml_n_dims(t); i++) {
        text += (i > 0 ? " " : "") + std::to_string(t->ne[i]);
    }
    return text + "]";
}

}  // namespace

bool is_computed(const ggml_tensor* node) {
    switch (node->op) {
        case GGML_OP_NONE:
        case GGML_OP_RESHAPE:
        case GGML_OP_VIEW:
        case GGML_OP_PERMUTE:
        case GGML_OP_TRANSPOSE: return false;
        default: return true;
    }
}

NodeGroup describe_node(const ggml_tensor* node) {
    NodeGroup group;
    group.op            = ggml_op_desc(node);
    group.count         = 1;
    group.largest_bytes = static_cast<int64_t>(ggml_nbytes(node));
    group.example       = shape_of(node);
    for (const ggml_tensor* src : node->src) {
        if (src == nullptr) {
            continue;
        }
        group.operands += type_of(src) + " ";
        group.largest_bytes = std::max(group.largest_bytes, static_cast<int64_t>(ggml_nbytes(src)));
        group.example += (src == node->src[0] ? " of " : ", ") + shape_of(src);
        if (src->op == GGML_OP_NONE && src->name[0] != '\0') {
            group.example += std::string(" ") + src->name;
        }
    }
    group.operands += "-> " + type_of(node);
    return group;
}

void add_node(std::vector<NodeGroup>* groups, const ggml_tensor* node, bool supported) {
    NodeGroup one = describe_node(node);
    one.supported = supported;
    for (NodeGroup& g : *groups) {
        if (g.op == one.op && g.operands == one.operands && g.supported == supported) {
            g.count++;
            g.largest_bytes = std::max(g.largest_bytes, one.largest_bytes);
            return;
        }
    }
    groups->push_back(std::move(one));
}

}  // namespace dg
