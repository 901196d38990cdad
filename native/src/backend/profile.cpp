#include "backend/profile.h"

#include <chrono>
#include <cstring>

#include "ggml-impl.h"
#include "kernels/amx.h"
#include "kernels/node.h"

namespace dg {

namespace {

// Views move no data.
bool is_free(const ggml_tensor* node) {
    switch (node->op) {
        case GGML_OP_NONE:
        case GGML_OP_VIEW:
        case GGML_OP_RESHAPE:
        case GGML_OP_PERMUTE:
        case GGML_OP_TRANSPOSE: return true;
        default: return false;
    }
}

// The module whose weight the node reads, without the component's name before it: "down_blocks.1.attentions.0.proj_in".
std::string module_of(const ggml_tensor* node) {
    for (const ggml_tensor* source : node->src) {
        if (source == nullptr || source->op != GGML_OP_NONE) {
            continue;
        }
        const std::string name = source->name;
        const size_t begin = name.find('.'), end = name.rfind('.');
        if (begin != std::string::npos && end > begin) {
            return name.substr(begin + 1, end - begin - 1);
        }
    }
    return "";
}

// Our own kernels name their nodes; the rest have ggml's names.
std::string operation_of(const ggml_tensor* node) {
    if (node->op == GGML_OP_CUSTOM && std::strncmp(node->name, "node_", 5) != 0) {
        return node->name;
    }
    return ggml_op_desc(node);
}

}  // namespace

double product_operations(const ggml_tensor* node) {
    auto elements = static_cast<double>(ggml_nelements(node));
    if (node->op == GGML_OP_MUL_MAT) {
        return 2.0 * static_cast<double>(node->src[0]->ne[0]) * elements;
    }
    if (node->op == GGML_OP_FLASH_ATTN_EXT) {
        return 4.0 * static_cast<double>(node->src[1]->ne[1]) * elements;
    }
    if (node->op != GGML_OP_CUSTOM) {
        return 0;
    }
    if (node->type == GGML_TYPE_I8) {  // tokens as bytes: a scale of four bytes for every 32
        elements *= 32.0 / 36.0;
    }
    const std::string name = node->name;
    if (name == kMatmulBf16 || name == kMatmulQ8 || name == kMatmulF32 || name == kConv2d || name == kConv2dBf16 ||
        name == kWinograd || name == kWinogradBf16) {
        return 2.0 * static_cast<double>(node->src[1]->ne[0]) * elements;
    }
    if (name == kGegluBf16 || name == kGegluQ8 || name == kGegluF32) {
        return 4.0 * static_cast<double>(node->src[1]->ne[0]) * elements;
    }
    return name == kAttention ? 4.0 * static_cast<double>(node->src[1]->ne[1] * kTile) * elements : 0;
}

void Profile::enable(bool enabled) {
    enabled_ = enabled;
    entries_.clear();
}

ggml_status Profile::run(const std::string& stage, ggml_backend_t backend, ggml_cgraph* graph) {
    std::string module;
    for (int i = 0; i < ggml_graph_n_nodes(graph); i++) {
        const ggml_tensor* node = ggml_graph_node(graph, i);
        if (is_free(node)) {
            continue;
        }
        const std::string of_weight = module_of(node);
        if (!of_weight.empty()) {
            module = of_weight;  // a node without a weight belongs to the module before it
        }
        const auto began         = std::chrono::steady_clock::now();
        ggml_cgraph part         = ggml_graph_view(graph, i, i + 1);
        const ggml_status status = ggml_backend_graph_compute(backend, &part);
        if (status != GGML_STATUS_SUCCESS) {
            return status;
        }
        Entry& entry = entries_[{stage, module, operation_of(node)}];
        entry.calls++;
        entry.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
        entry.operations += product_operations(node);
    }
    return GGML_STATUS_SUCCESS;
}

}  // namespace dg
