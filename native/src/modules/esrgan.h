// ESRGAN's generator (RRDBNet of BasicSR). It enlarges pictures 2, 4 or 8 times. All dimensions come from the weights.
#pragma once

#include <vector>

#include "modules/ops.h"

namespace dg {

struct EsrganDims {
    int64_t channels = 0, growth = 0, blocks = 0, upsamplings = 0;
    int64_t unshuffle = 1;  // the input is rearranged by this factor first, as in RealESRGAN_x2plus

    int64_t scale() const { return (int64_t{1} << upsamplings) / unshuffle; }
};

EsrganDims infer_esrgan_dims(const Source& source);

class Esrgan {
public:
    Esrgan(Params& params, const EsrganDims& dims);
    ggml_tensor* build(GraphBuilder& g,
                       ggml_tensor* pixels) const;  // [W, H, 3, N] in [0, 1] -> [scale*W, scale*H, 3, N]

    const EsrganDims dims;

private:
    using Dense = std::vector<Conv2d>;  // five convolutions; each reads the results of all before it
    ggml_tensor* dense(GraphBuilder& g, const Dense& d, ggml_tensor* x) const;

    Conv2d first_, body_end_, hr_, last_;
    std::vector<Conv2d> up_;
    std::vector<Dense> body_;  // three for each block
};

}  // namespace dg
