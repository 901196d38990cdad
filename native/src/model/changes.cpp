#include "model/changes.h"

#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "model/compute_common.h"

namespace dg {

namespace {

constexpr double kUniform      = 9999;  // above this, SEG's blur is a mean
constexpr double kMaxBlurSigma = 1e12;

ChangeShape::Names names_of(const char* field, const char* list, int64_t rows, const std::set<std::string>& known) {
    auto out = std::make_shared<std::set<std::string>>();
    if (rows == 0) {
        return out;
    }
    check_pointer(field, list);
    std::istringstream lines(list);
    for (std::string name; std::getline(lines, name);) {
        if (known.count(name) == 0) {
            fail(DG_ERR_ARGUMENT, "%s: the UNet has no block %s", field, name.c_str());
        }
        out->insert(name);
    }
    return out;
}

}  // namespace

Changes::Changes(const dg_unet_change* change, const Unet& unet, int64_t rows, const LevelSizes& levels, bool values)
    : change_(change),
      rows_(rows) {
    if (change == nullptr) {
        return;
    }
    const std::set<std::string> known = unet.block_names();
    check_range("identity_rows", change->identity_rows, 0, rows);
    check_range("blurred_rows", change->blurred_rows, 0, rows - change->identity_rows);
    whole_.levels          = levels;
    whole_.identity        = change->identity_rows;
    whole_.blurred         = change->blurred_rows;
    whole_.plain           = rows - whole_.identity - whole_.blurred;
    whole_.identity_layers = names_of("identity_layers", change->identity_layers, whole_.identity, known);
    whole_.blurred_layers  = names_of("blurred_layers", change->blurred_layers, whole_.blurred, known);
    if (whole_.blurred > 0 && !(change->blur_sigma > 0 && change->blur_sigma <= kMaxBlurSigma)) {
        fail(DG_ERR_ARGUMENT, "blur_sigma: %g is not above 0", change->blur_sigma);
    }
    whole_.uniform = change->blur_sigma > kUniform;
    whole_.freeu   = change->freeu != 0;
    whole_.s[0]    = static_cast<float>(change->freeu_s1);
    whole_.s[1]    = static_cast<float>(change->freeu_s2);
    whole_.b[0]    = static_cast<float>(change->freeu_b1);
    whole_.b[1]    = static_cast<float>(change->freeu_b2);
    if (!values) {
        return;
    }
    values_ = std::make_unique<ChangeValues>(whole_, change->blur_sigma);
}

Changes::Lane::Lane(const Changes& all, int64_t first, int64_t count) : all_(all) {
    if (all.change_ == nullptr) {
        return;
    }
    shape_             = std::make_shared<ChangeShape>(all.whole_);
    const auto overlap = [&](int64_t from, int64_t end) {
        return std::max<int64_t>(0, std::min(end, first + count) - std::max(from, first));
    };
    const ChangeShape& w = all.whole_;
    shape_->plain        = overlap(0, w.plain);
    shape_->identity     = overlap(w.plain, w.plain + w.identity);
    shape_->blurred      = overlap(w.plain + w.identity, all.rows_);
}

void Changes::Lane::inputs(std::vector<HostInput>* to) const {
    if (shape_ != nullptr) {
        all_.values_->inputs(*shape_, to);
    }
}

}  // namespace dg
