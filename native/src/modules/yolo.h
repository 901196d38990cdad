// YOLOv8's detection network. It finds boxes in pictures. All dimensions come from the weights.
#pragma once

#include <vector>

#include "modules/ops.h"

namespace dg {

constexpr size_t kYoloStages = 5;  // of the backbone; each halves the size
constexpr size_t kYoloScales = 3;  // of which the head reads the last three

struct YoloDims {
    int64_t widths[kYoloStages]     = {};  // channels behind each stage: 16 32 64 128 256 for yolov8n
    int64_t blocks[kYoloStages - 1] = {};  // bottlenecks of each stage's C2f
    int64_t up_blocks[4]            = {};  // of the neck's, in the order of the computation
    int64_t box_width = 0, class_width = 0;  // inside the head
    int64_t bins    = 0;  // of each side's distribution: 16
    int64_t classes = 0;
    bool fused      = false;  // batch norms are part of the convolutions

    int64_t multiple() const { return int64_t{1} << kYoloStages; }
    int64_t outputs() const { return 4 * bins + classes; }
    int64_t anchors(int64_t height, int64_t width) const;  // cells of the three scales
};

YoloDims infer_yolo_dims(const Source& source);

class Yolo {
public:
    Yolo(Params& params, const YoloDims& dims);
    // [W, H, 3, N] in [0, 1] -> [anchors, outputs, N]: for each cell the distributions of its four sides, then the classes' logits.
    ggml_tensor* build(GraphBuilder& g, ggml_tensor* pixels) const;

    const YoloDims dims;

private:
    struct Conv {  // convolution, batch norm, SiLU
        Conv2d conv;
        Norm norm;
        ggml_tensor* mean     = nullptr;  // NULL: fused
        ggml_tensor* variance = nullptr;
        int stride            = 1;
    };
    struct C2f {
        Conv in, out;
        std::vector<Conv> blocks;  // two for each bottleneck
        bool shortcut = false;
    };
    struct Branch {
        Conv first, second;
        Conv2d last;
    };

    Conv conv(Params& p, const std::string& name, int kernel, int64_t in, int64_t out, int stride = 1) const;
    C2f c2f(Params& p, int layer, int64_t in, int64_t out, int64_t blocks, bool shortcut) const;
    ggml_tensor* run(GraphBuilder& g, const Conv& c, ggml_tensor* x) const;
    ggml_tensor* run(GraphBuilder& g, const C2f& c, ggml_tensor* x) const;
    ggml_tensor* run(GraphBuilder& g, const Branch& b, ggml_tensor* x) const;

    std::vector<Conv> halve_;  // at the start of each stage of the backbone
    std::vector<C2f> stages_, neck_;
    Conv pool_in_, pool_out_;
    std::vector<Conv> down_;  // of the neck
    std::vector<Branch> boxes_, classes_;
};

}  // namespace dg
