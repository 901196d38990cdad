// The VAE in parts: the graphs of its middle and of its levels. The statistics of group norms go between host and device.

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "model/model.h"

namespace dg {

namespace {

constexpr int64_t kMaxSide = 16384;  // pixels

bool decodes(int32_t stage) {
    return stage == DG_STAGE_VAE_DECODE_MIDDLE || stage == DG_STAGE_VAE_DECODE_LEVELS;
}

// Turns means and variances into means and 1 / standard deviation, as group_norm_by needs them.
std::vector<float> reciprocals(const float* statistics, int64_t groups) {
    std::vector<float> out(statistics, statistics + 2 * groups);
    for (size_t i = 1; i < out.size(); i += 2) {
        out[i] = 1.0f / std::sqrt(out[i] + VaeNorms::kEps);
    }
    return out;
}

}  // namespace

void Model::require_parts(int component) const {
    require(component, "vae_run_part");
    if (taesd_encoder_ != nullptr || taesd_decoder_ != nullptr) {
        fail(DG_ERR_UNSUPPORTED, "vae_run_part: a TAESD has no parts; it is small enough to run whole");
    }
}

const Worker& Model::vae_part_worker(int32_t stage) const {
    const int component = decodes(stage) ? kVaeDecoder : kVaeEncoder;
    require_parts(component);
    return *components_[component].worker;
}

void Model::vae_part_info(int32_t stage, dg_vae_part_info* out) const {
    out->groups = vae_dims_.groups;
    switch (stage) {
        case DG_STAGE_VAE_DECODE_MIDDLE:
            require_parts(kVaeDecoder);
            out->in_channels  = vae_dims_.latent;
            out->out_channels = vae_decoder_->width();
            break;
        case DG_STAGE_VAE_DECODE_LEVELS:
            require_parts(kVaeDecoder);
            out->in_channels  = vae_decoder_->width();
            out->out_channels = 3;
            out->norms        = vae_decoder_->level_norms();
            break;
        case DG_STAGE_VAE_ENCODE_LEVELS:
            require_parts(kVaeEncoder);
            out->in_channels  = 3;
            out->out_channels = vae_encoder_->width();
            out->norms        = vae_encoder_->level_norms();
            break;
        case DG_STAGE_VAE_ENCODE_MIDDLE:
            require_parts(kVaeEncoder);
            out->in_channels  = vae_encoder_->width();
            out->out_channels = 2 * vae_dims_.latent;
            break;
        default: fail(DG_ERR_ARGUMENT, "stage: %d is none of the VAE's parts", stage);
    }
}

BuildFunction Model::vae_part_graph(int32_t stage, int64_t height, int64_t width, bool given,
                                    const VaeCore* core) const {
    dg_vae_part_info info{};
    vae_part_info(stage, &info);
    const VaeEncoder* encoder = vae_encoder_.get();
    const VaeDecoder* decoder = vae_decoder_.get();
    const int32_t groups      = vae_dims_.groups;
    const bool reports        = core != nullptr;
    const VaeCore reported    = reports ? *core : VaeCore{};
    return [=](GraphBuilder& g) {
        ggml_tensor* x = g.input(GGML_TYPE_F32, width, height, info.in_channels, 1);
        VaeNorms norms(groups);
        if (given) {
            std::vector<ggml_tensor*> statistics;
            for (int64_t i = 0; i < info.norms; i++) {
                statistics.push_back(g.input(GGML_TYPE_F32, 2, groups));
            }
            norms.take(statistics);
        }
        if (reports) {
            norms.report(reported);
        }
        switch (stage) {
            case DG_STAGE_VAE_DECODE_MIDDLE: x = decoder->build_middle(g, x); break;
            case DG_STAGE_VAE_DECODE_LEVELS: x = decoder->build_levels(g, x, norms); break;
            case DG_STAGE_VAE_ENCODE_LEVELS: x = encoder->build_levels(g, x, norms); break;
            default: x = encoder->build_middle(g, x); break;
        }
        g.output(x);
    };
}

size_t Model::vae_part_size(int32_t stage, int64_t height, int64_t width) const {
    const Worker& worker = vae_part_worker(stage);
    dg_vae_part_info info{};
    vae_part_info(stage, &info);
    if (info.norms == 0) {
        return GraphRunner::measure(worker, traits(worker), vae_part_graph(stage, height, width, false, nullptr));
    }
    const VaeCore core{0, 0, width, height, width};
    size_t size = 0;
    for (const bool given : {false, true}) {
        size = std::max(
            size, GraphRunner::measure(worker, traits(worker), vae_part_graph(stage, height, width, given, &core)));
    }
    return size;
}

void Model::vae_run_part(const dg_vae_part& in, float* output, size_t output_count, float* measured,
                         size_t measured_count) {
    dg_vae_part_info info{};
    vae_part_info(in.stage, &info);
    const int component = decodes(in.stage) ? kVaeDecoder : kVaeEncoder;
    use(component, "vae_run_part");
    const bool pixels_in     = in.stage == DG_STAGE_VAE_ENCODE_LEVELS;
    const int64_t scale      = vae_dims_.downscale();
    const int64_t unit       = pixels_in ? scale : 1;
    const bool given         = in.statistics != nullptr;
    const bool reports       = measured != nullptr;
    const auto refuse_unless = [](bool right, const char* field, const char* what) {
        if (!right) {
            fail(DG_ERR_ARGUMENT, "%s: %s", field, what);
        }
    };
    refuse_unless(in.input != nullptr, "input", "is NULL");
    refuse_unless(output != nullptr, "output", "is NULL");
    const int64_t limit = pixels_in ? kMaxSide : kMaxSide / scale;
    for (const int64_t side : {in.height, in.width}) {
        refuse_unless(side >= unit && side <= limit && side % unit == 0, "size",
                      "a side is too small, too large or cuts a latent cell");
    }
    refuse_unless(info.norms > 0 || (!given && !reports), "stage", "the VAE's middles take and report no statistics");
    if (reports) {
        refuse_unless(in.core_top >= 0 && in.core_left >= 0 && in.core_height > 0 && in.core_width > 0 &&
                          in.core_height <= in.height - in.core_top && in.core_width <= in.width - in.core_left,
                      "core", "is empty or reaches out of the input");
        refuse_unless(in.core_top % unit == 0 && in.core_left % unit == 0 && in.core_height % unit == 0 &&
                          in.core_width % unit == 0,
                      "core", "cuts a latent cell");
        refuse_unless(measured_count == static_cast<size_t>(info.norms * info.groups * 2), "measured",
                      "is not [norms, groups, 2]");
    }
    const int64_t cells_h = in.height / unit, cells_w = in.width / unit;
    const int64_t out_scale = in.stage == DG_STAGE_VAE_DECODE_LEVELS ? scale * scale : 1;
    refuse_unless(output_count == static_cast<size_t>(info.out_channels * cells_h * cells_w * out_scale), "output",
                  "has room for another number of floats than is written");

    const int64_t values = 2 * info.groups;  // of one norm's statistics
    std::vector<std::vector<float>> statistics;
    std::vector<HostInput> inputs{
        {in.input, static_cast<size_t>(info.in_channels * in.height * in.width) * sizeof(float)}};
    for (int64_t i = 0; given && i < info.norms; i++) {
        statistics.push_back(reciprocals(in.statistics + i * values, info.groups));
        inputs.push_back({statistics.back().data(), statistics.back().size() * sizeof(float)});
    }
    std::vector<HostOutput> outputs;
    for (int64_t i = 0; reports && i < info.norms; i++) {
        outputs.push_back({measured + i * values, static_cast<size_t>(values)});
    }
    outputs.push_back({output, output_count});

    const VaeCore core{in.core_left, in.core_top, in.core_width, in.core_height, in.width};
    std::string key = "vae_part";
    for (const int64_t v :
         {int64_t{in.stage}, in.height, in.width, int64_t{given}, int64_t{reports}, reports ? core.left : 0,
          reports ? core.top : 0, reports ? core.width : 0, reports ? core.height : 0}) {
        key += " " + std::to_string(v);
    }
    run(component, key, vae_part_graph(in.stage, in.height, in.width, given, reports ? &core : nullptr), inputs,
        outputs);
}

}  // namespace dg
