// What sees pictures for a prompt: CLIP's image encoder, and the half of an IP-Adapter that makes keys and values.

#include <utility>
#include <vector>

#include "model/compute_common.h"
#include "model/model.h"

namespace dg {

void Model::open_image_encoder(int index, const OpenParams& params) {
    ImageEncoderDims dims = infer_image_encoder_dims(source_, config_.image_head_dim);
    dims.quick_gelu       = config_.image_quick_gelu == 1;
    image_encoder_        = std::make_unique<ImageEncoder>(
        prepare(index, params.device_text.empty() ? params.device : params.device_text, params.type_text), dims);
}

void Model::open_ip_adapter(int index, const OpenParams& params) {
    ip_adapter_ =
        std::make_unique<IpAdapter>(prepare(index, params.device, params.type_unet), infer_ip_adapter_dims(source_));
}

void Model::image_info(dg_model_info* out) const {
    out->image_encoder.struct_size = sizeof(dg_image_encoder_info);
    out->ip_adapter.struct_size    = sizeof(dg_ip_adapter_info);
    if (image_encoder_ != nullptr) {
        const ImageEncoderDims& d         = image_encoder_->dims;
        out->image_encoder.width          = d.width;
        out->image_encoder.layers         = d.layers;
        out->image_encoder.heads          = d.heads;
        out->image_encoder.projection_dim = d.projection;
        out->image_encoder.tokens         = d.tokens;
        out->image_encoder.size           = d.size();
    }
    if (ip_adapter_ != nullptr) {
        const IpAdapterDims& d      = ip_adapter_->dims;
        out->ip_adapter.embed_dim   = d.embed;
        out->ip_adapter.hidden      = d.depth > 0 ? 1 : 0;
        out->ip_adapter.face_dim    = d.face;
        out->ip_adapter.tokens      = d.tokens;
        out->ip_adapter.context_dim = d.context;
        out->ip_adapter.layers      = static_cast<int64_t>(d.channels.size());
        out->ip_adapter.values      = d.layer_values();
    }
    if (unet_ != nullptr) {
        for (const int64_t c : unet_->attention_channels()) {
            out->unet_attentions++;
            out->unet_attention_values += 2 * c;
        }
    }
}

PictureShapes Model::pictures_of(const dg_compute_query& q) const {
    PictureShape shape;
    shape.tokens = q.image_tokens;
    check_range("image_rows", q.image_rows, 0, q.batch);
    shape.count    = q.image_rows > 0 ? q.image_rows : q.batch > 1 ? 2 : 1;  // the halves of guidance
    shape.channels = unet_->attention_channels();
    shape.acts.assign(shape.channels.size(), true);
    if (q.image_masks != 0) {
        shape.masks = level_sizes(unet_->dims, q.height, q.width);
    }
    return PictureShapes(static_cast<size_t>(q.image_prompts), shape);
}

BuildFunction Model::image_encoder_graph(int64_t batch, bool embeds, bool hidden) const {
    const ImageEncoder* net = image_encoder_.get();
    return [=](GraphBuilder& g) {
        const int64_t patches = net->dims.tokens - 1;
        const auto out =
            net->build(g, g.input(GGML_TYPE_F32, net->dims.patch_values(), patches, batch), embeds, hidden);
        for (ggml_tensor* t : {out.embeds, out.hidden}) {
            if (t != nullptr) {
                g.output(t);
            }
        }
    };
}

// A picture's patches, each [3, patch, patch]: what a convolution with a stride of its kernel's size reads.
static void cut_patches(const ImageEncoderDims& d, const float* picture, float* out) {
    const int64_t side = d.size();
    for (int64_t gy = 0; gy < d.grid(); gy++) {
        for (int64_t gx = 0; gx < d.grid(); gx++) {
            for (int64_t c = 0; c < 3; c++) {
                for (int64_t y = 0; y < d.patch; y++) {
                    const float* row = picture + (c * side + gy * d.patch + y) * side + gx * d.patch;
                    out              = std::copy(row, row + d.patch, out);
                }
            }
        }
    }
}

void Model::image_encode(int64_t batch, const float* pixels, float* embeds, size_t embeds_count, float* hidden,
                         size_t hidden_count) {
    use(kImageEncoder, "image_encode");
    const ImageEncoderDims& d = image_encoder_->dims;
    check_range("batch", batch, 1, kMaxBatch);
    check_pointer("pixels", pixels);
    if (embeds == nullptr && hidden == nullptr) {
        fail(DG_ERR_ARGUMENT, "embeds, hidden: both are NULL; nothing is wanted");
    }
    if (embeds != nullptr && d.projection == 0) {
        fail(DG_ERR_UNSUPPORTED, "embeds: the image encoder has no projection");
    }
    std::vector<HostOutput> outputs;
    if (embeds != nullptr) {
        check_count("embeds", embeds_count, batch * d.projection);
        outputs.push_back({embeds, embeds_count});
    }
    if (hidden != nullptr) {
        check_count("hidden", hidden_count, batch * d.tokens * d.width);
        outputs.push_back({hidden, hidden_count});
    }
    const int64_t values = 3 * d.size() * d.size();
    std::vector<float> patches(static_cast<size_t>(batch * values));
    for (int64_t i = 0; i < batch; i++) {
        cut_patches(d, pixels + i * values, patches.data() + i * values);
    }
    run(kImageEncoder, shape_key("image_encode", {batch, embeds != nullptr, hidden != nullptr}),
        image_encoder_graph(batch, embeds != nullptr, hidden != nullptr), {input_of(patches)}, outputs);
}

BuildFunction Model::ip_adapter_graph(int64_t batch, int64_t pictures, int64_t tokens, float shortcut) const {
    const IpAdapter* net = ip_adapter_.get();
    return [=](GraphBuilder& g) {
        const IpAdapterDims& d = net->dims;
        IpAdapter::Inputs in;
        in.pictures = pictures;
        in.shortcut = shortcut;
        in.embeds   = d.embed > 0 ? g.input(GGML_TYPE_F32, d.embed, tokens, batch * pictures) : nullptr;
        in.faces    = d.face > 0 ? g.input(GGML_TYPE_F32, d.face, batch * pictures) : nullptr;
        for (ggml_tensor* t : net->build(g, in)) {
            g.output(t);
        }
    };
}

void Model::ip_adapter_run(const dg_ip_adapter_input& in, float* values, size_t count) {
    use(kIpAdapter, "ip_adapter_run");
    const IpAdapterDims& d = ip_adapter_->dims;
    check_range("batch", in.batch, 1, kMaxBatch);
    check_range("pictures", in.pictures, 1, kMaxBatch);
    check_range("tokens", in.tokens, 1, d.depth > 0 ? kMaxTokens : 1);
    check_pointer("values", values);
    const int64_t tokens = d.tokens * in.pictures;
    check_count("values", count, in.batch * tokens * d.layer_values());
    std::vector<HostInput> inputs;
    if (d.embed > 0) {
        check_pointer("embeds", in.embeds);
        inputs.push_back(input_of(in.embeds, in.batch * in.pictures * in.tokens * d.embed));
    }
    if (d.face > 0) {
        check_pointer("faces", in.faces);
        inputs.push_back(input_of(in.faces, in.batch * in.pictures * d.face));
    }
    std::vector<std::vector<float>> fresh;
    std::vector<HostOutput> outputs;
    for (const int64_t c : d.channels) {
        for (int k = 0; k < 2; k++) {
            fresh.emplace_back(static_cast<size_t>(in.batch * tokens * c));
            outputs.push_back({fresh.back().data(), fresh.back().size()});
        }
    }
    const auto shortcut = static_cast<float>(in.shortcut);
    if (shortcut != 0 && (d.face == 0 || d.depth == 0 || d.hidden != d.context)) {
        fail(DG_ERR_UNSUPPORTED,
             "shortcut: is for adapters that take a face and a picture, with tokens as wide as the UNet's");
    }
    run(kIpAdapter, shape_key("ip_adapter", {in.batch, in.pictures, in.tokens}) + " " + std::to_string(shortcut),
        ip_adapter_graph(in.batch, in.pictures, in.tokens, shortcut), inputs, outputs);
    float* to = values;
    for (int64_t row = 0; row < in.batch; row++) {
        for (const std::vector<float>& part : fresh) {
            const auto size = static_cast<int64_t>(part.size()) / in.batch;
            to              = std::copy(part.begin() + row * size, part.begin() + (row + 1) * size, to);
        }
    }
}

}  // namespace dg
