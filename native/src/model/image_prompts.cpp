#include "model/image_prompts.h"

#include <algorithm>

#include "base/error.h"
#include "model/compute_common.h"
#include "model/model.h"

namespace dg {

ImagePrompts::ImagePrompts(const dg_unet_input& in, const std::vector<int64_t>& channels,
                           const std::vector<std::pair<int64_t, int64_t>>& levels) {
    check_range("prompt_count", in.prompt_count, 0, kMaxImagePrompts);
    const char* at = reinterpret_cast<const char*>(in.prompts);
    for (int64_t i = 0; i < in.prompt_count; i++) {
        const auto* p = reinterpret_cast<const dg_image_prompt*>(at);
        if (p == nullptr || p->struct_size < sizeof(dg_image_prompt)) {
            fail(DG_ERR_ARGUMENT, "prompts[%lld]: its struct_size is too small", static_cast<long long>(i));
        }
        at += p->struct_size;
        add(*p, in.batch, channels, levels);
    }
}

void ImagePrompts::add(const dg_image_prompt& p, int64_t n, const std::vector<int64_t>& channels,
                       const std::vector<std::pair<int64_t, int64_t>>& levels) {
    check_range("prompts.count", p.count, 1, kMaxBatch);
    check_range("prompts.tokens", p.tokens, 1, kMaxTokens);
    check_pointer("prompts.values", p.values);
    check_pointer("prompts.of_row", p.of_row);
    check_pointer("prompts.scales", p.scales);
    PictureShape shape;
    shape.tokens   = p.tokens;
    shape.count    = p.count;
    shape.channels = channels;
    for (int64_t row = 0; row < n; row++) {
        check_range("prompts.of_row", p.of_row[row], 0, p.count - 1);
    }
    const auto layers = static_cast<int64_t>(channels.size());
    for (int64_t l = 0; l < layers; l++) {
        bool acts = false;
        for (int64_t row = 0; row < n; row++) {
            acts = acts || p.scales[row * layers + l] != 0.0f;
        }
        shape.acts.push_back(acts);
    }
    if (std::find(shape.acts.begin(), shape.acts.end(), true) == shape.acts.end()) {
        return;  // as if it were not there
    }
    std::vector<float> mask;
    if (p.mask != nullptr) {
        shape.masks       = levels;
        const float* from = p.mask;
        for (const auto& [w, h] : levels) {
            mask.insert(mask.end(), from, from + w * h);
            mask.resize(mask.size() + static_cast<size_t>(input_aligned(w * h) - w * h));
            from += w * h;
        }
        check_count("prompts.mask", static_cast<size_t>(p.mask_count), from - p.mask);
    }
    int64_t each = 0;  // of a row of pictures
    for (const int64_t c : channels) {
        each += 2 * c * p.tokens;
    }
    std::vector<float> values;
    values.reserve(static_cast<size_t>(shape.values()));
    int64_t at = 0;
    for (size_t l = 0; l < channels.size(); l++) {
        const int64_t size = channels[l] * p.tokens;
        for (int k = 0; k < 2; k++, at += size) {
            for (int64_t row = 0; shape.acts[l] && row < p.count; row++) {
                const float* from = p.values + row * each + at;
                values.insert(values.end(), from, from + size);
            }
        }
    }
    shapes_.push_back(shape);
    of_row_.push_back(p.of_row);
    scales_.push_back(p.scales);
    values_.push_back(std::move(values));
    masks_.push_back(std::move(mask));
}

std::string ImagePrompts::key() const {
    std::string key;
    for (const PictureShape& s : shapes_) {
        key += shape_key(" image", {s.tokens, s.count, !s.masks.empty()}) + " ";
        for (const bool acts : s.acts) {
            key += acts ? '1' : '0';
        }
    }
    return key;
}

ImagePrompts::Rows ImagePrompts::rows(int64_t first, int64_t count) const {
    Rows out;
    for (size_t i = 0; i < shapes_.size(); i++) {
        out.of_row.emplace_back(of_row_[i] + first, of_row_[i] + first + count);
        const auto layers = static_cast<int64_t>(shapes_[i].channels.size());
        std::vector<float> scales(static_cast<size_t>(layers * input_aligned(count)));
        for (int64_t l = 0; l < layers; l++) {
            for (int64_t row = 0; row < count; row++) {
                scales[static_cast<size_t>(l * input_aligned(count) + row)] = scales_[i][(first + row) * layers + l];
            }
        }
        out.scales.push_back(std::move(scales));
    }
    return out;
}

void ImagePrompts::inputs(const Rows& rows, std::vector<HostInput>* to) const {
    for (size_t i = 0; i < shapes_.size(); i++) {
        to->push_back(input_of(values_[i]));
        to->push_back(input_of(rows.of_row[i]));
        to->push_back(input_of(rows.scales[i]));
        if (!masks_[i].empty()) {
            to->push_back(input_of(masks_[i]));
        }
    }
}

}  // namespace dg
