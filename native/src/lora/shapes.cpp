// Adapters of which only the shapes are known, to measure graphs with them.
#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "lora/adapter.h"
#include "lora/rotate.h"

namespace dg {

namespace {

constexpr int64_t kMaxRank = 1 << 20;

[[noreturn]] void unfit(const Module& m, const char* what) {
    fail(DG_ERR_ARGUMENT, "loras: %s: %s does not fit a module of %lld outputs and %lld inputs", m.name.c_str(), what,
         static_cast<long long>(m.out), static_cast<long long>(m.in));
}

void check_shape(const dg_lora_shape& s, const Module& m) {
    const bool conv = m.kind == DG_MODULE_CONV2D, weighs = conv || m.kind == DG_MODULE_LINEAR;
    const bool vector = s.form == DG_LORA_BIAS || s.form == DG_LORA_NORM || s.form == DG_LORA_BIAS_SCALE;
    if (s.form < DG_LORA_LOW_RANK || s.form > DG_LORA_IN_ROTATE || m.kind == DG_MODULE_EMBEDDING ||
        (!weighs && !vector)) {
        unfit(m, "form");
    }
    switch (s.form) {
        case DG_LORA_LOW_RANK:
        case DG_LORA_IN_LOW_RANK:
            if (s.rank < 1 || s.rank > kMaxRank) {
                unfit(m, "rank");
            }
            break;
        case DG_LORA_KRON:
            if (conv || *std::min_element(s.shape, s.shape + 4) < 1 || s.shape[0] > m.out || s.shape[1] > m.in ||
                s.shape[0] * s.shape[2] != m.out || s.shape[1] * s.shape[3] != m.in) {
                unfit(m, "shape");
            }
            break;
        case DG_LORA_OUT_ROTATE:
        case DG_LORA_IN_ROTATE: {
            const int64_t kernel = std::max<int64_t>(1, m.kernel);
            if (!rotates_all(s.shape, s.form == DG_LORA_OUT_ROTATE ? m.out : m.in * kernel * kernel)) {
                unfit(m, "shape");
            }
            break;
        }
        default: break;
    }
}

}  // namespace

AdapterPtr shape_adapter(const std::vector<AdapterHost>& hosts, const dg_lora_shape* shapes, int64_t count) {
    std::unordered_map<std::string, std::pair<const AdapterHost*, Module>> known;
    for (const AdapterHost& host : hosts) {
        for (const Module& m : host.params->modules()) {
            known.emplace(m.name, std::make_pair(&host, m));
        }
    }
    auto adapter   = std::make_shared<Adapter>();
    const char* at = reinterpret_cast<const char*>(shapes);
    for (int64_t i = 0; i < count; i++) {
        const auto* s = reinterpret_cast<const dg_lora_shape*>(at);
        if (s == nullptr || s->struct_size < sizeof(dg_lora_shape)) {
            fail(DG_ERR_ARGUMENT, "loras[%lld]: its struct_size is too small", static_cast<long long>(i));
        }
        at += s->struct_size;
        const auto found = known.find(s->module != nullptr ? s->module : "");
        if (found == known.end()) {
            continue;
        }
        const auto& [host, module] = found->second;
        check_shape(*s, module);
        const int64_t rank = s->form == DG_LORA_IN_LOW_RANK ? filled_rank(s->rank) : s->rank;
        Adapter::Item item{adapter->targets++,
                           host->component,
                           module,
                           s->form,
                           rank,
                           s->factors != 0,
                           {},
                           host->params->policy().dense,
                           {},
                           {}};
        std::copy(s->shape, s->shape + 4, item.shape);
        adapter->items.push_back(std::move(item));
    }
    return adapter;
}

}  // namespace dg
