#include "model/region_texts.h"

#include <algorithm>

#include "base/error.h"
#include "model/compute_common.h"

namespace dg {

namespace {

constexpr int64_t kMaxRegionTexts = 64;  // beside a row's own

// How many of rows first .. first+count-1 are among the last `last` of `all`.
int64_t rows_within(int64_t all, int64_t last, int64_t first, int64_t count) {
    return std::max<int64_t>(0, first + count - std::max(first, all - last));
}

}  // namespace

RegionTexts::RegionTexts(const dg_text_regions* in, int64_t rows, int64_t floats,
                         const std::vector<std::pair<int64_t, int64_t>>& levels)
    : rows_(rows),
      floats_(floats),
      levels_(levels) {
    if (in == nullptr) {
        return;
    }
    if (in->struct_size < sizeof(dg_text_regions)) {
        fail(DG_ERR_ARGUMENT, "regions: its struct_size is too small");
    }
    in_ = *in;
    check_range("regions.count", in_.count, 1, kMaxRegionTexts);
    check_range("regions.rows", in_.rows, 1, rows);
    check_pointer("regions.context", in_.context);
    check_pointer("regions.shares", in_.shares);
    for (const auto& [w, h] : levels) {
        cells_ += w * h;
    }
    check_count("regions.shares", static_cast<size_t>(in_.share_count), in_.count * in_.rows * cells_);
}

RegionTexts::Lane RegionTexts::lane(int64_t first, int64_t count) const {
    Lane out;
    const int64_t here = in_.count == 0 ? 0 : rows_within(rows_, in_.rows, first, count);
    if (here == 0) {
        return out;
    }
    const int64_t from = first + count - here - (rows_ - in_.rows);  // the first one, among the rows with further texts
    out.shape          = {in_.count, here, levels_};
    for (int64_t k = 0; k < in_.count; k++) {
        for (int64_t row = from; row < from + here; row++) {
            out.texts.push_back(in_.context + (k * in_.rows + row) * floats_);
        }
    }
    out.shares.reserve(static_cast<size_t>(out.shape.share_values()));
    int64_t at = 0;
    for (const auto& [w, h] : levels_) {
        for (int64_t k = 0; k < in_.count; k++) {
            for (int64_t row = from; row < from + here; row++) {
                const float* level = in_.shares + (k * in_.rows + row) * cells_ + at;
                out.shares.insert(out.shares.end(), level, level + w * h);
            }
            out.shares.resize(static_cast<size_t>(input_aligned(static_cast<int64_t>(out.shares.size()))));
        }
        at += w * h;
    }
    return out;
}

std::string RegionTexts::Lane::key() const {
    return shape.more == 0 ? "" : shape_key(" regions", {shape.more, shape.rows});
}

void RegionTexts::Lane::inputs(std::vector<HostInput>* to) const {
    if (shape.more > 0) {
        to->push_back(input_of(shares));
    }
}

TextRegionShape region_shape(const dg_compute_query& q, int64_t first, int64_t count,
                             const std::vector<std::pair<int64_t, int64_t>>& levels) {
    check_range("region_count", q.region_count, 0, kMaxRegionTexts);
    check_range("region_rows", q.region_rows, 0, q.batch);
    const int64_t rows = rows_within(q.batch, q.region_rows, first, count);
    return rows == 0 || q.region_count == 0 ? TextRegionShape{} : TextRegionShape{q.region_count, rows, levels};
}

int64_t region_texts(const dg_compute_query& q, int64_t first, int64_t count) {
    check_range("region_sets", q.region_sets, 0, q.region_rows);
    const int64_t rows = rows_within(q.batch, q.region_rows, first, count);
    if (rows == 0 || q.region_sets == 0) {
        return q.region_count * rows;
    }
    const int64_t last = first + count - 1 - (q.batch - q.region_rows), from = last - rows + 1;
    return q.region_count * (last * q.region_sets / q.region_rows - from * q.region_sets / q.region_rows + 1);
}

}  // namespace dg
