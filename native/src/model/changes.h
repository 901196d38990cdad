// dg_unet_change as graphs take it: checked, and divided into the rows of lanes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daguerre.h"
#include "modules/unet.h"

namespace dg {

class Changes {
public:
    // change may be NULL: nothing changes. The caller keeps it and what it points to alive.
    // Without values, only shapes are asked for.
    Changes(const dg_unet_change* change, const Unet& unet, int64_t rows, const LevelSizes& levels, bool values);

    // What a lane of rows first .. first+count-1 computes; NULL: nothing of the kind. Its key is part of the graph's.
    class Lane {
    public:
        Lane(const Changes& all, int64_t first, int64_t count);

        std::shared_ptr<const ChangeShape> shape() const { return shape_; }
        std::string key() const { return shape_ == nullptr ? "" : shape_->key(); }
        void inputs(std::vector<HostInput>* to) const;  // in the order of UnetChange's

    private:
        const Changes& all_;
        std::shared_ptr<ChangeShape> shape_;
    };

private:
    const dg_unet_change* change_;
    int64_t rows_;
    ChangeShape whole_;
    std::unique_ptr<ChangeValues> values_;
};

}  // namespace dg
