// Where a model's weights are: loading, freeing, and making room.

#include <algorithm>

#include "base/error.h"
#include "model/model.h"
#include "model/stream.h"

namespace dg {

void Model::place_components(const OpenParams& params) {
    WeightCacheConfig cache = params.cache;
    cache.hurry             = &hurry_;
    for (int i = 0; i < DG_COMPONENT_COUNT; i++) {
        Component& component = components_[i];
        if (component.params == nullptr) {
            continue;
        }
        switch (i) {
            case kText1:
            case kText2:
            case kImageEncoder: component.residency = params.residency_text; break;
            case kVaeEncoder:
            case kVaeDecoder: component.residency = params.residency_vae; break;
            default: component.residency = params.residency_unet; break;
        }
        component.params->place({component.worker->backend(), component.worker->device().id, component.worker->cpu(),
                                 component.residency, params.stream_bytes, &memory_, i, cache});
    }
    for (int i = 0; i < DG_COMPONENT_COUNT; i++) {
        const Component& component = components_[i];
        if (component.params != nullptr && component.residency == DG_RESIDENT_ALWAYS) {
            load_component(i, params.cancel);
        }
    }
}

void Model::load_component(int index, const volatile int32_t* cancel) {
    static std::atomic<int64_t> loadings{0};
    Params& params = *components_[index].params;
    if (!params.loaded()) {
        params.load(threads_, [&] { return cancel_.load() || (cancel != nullptr && *cancel != 0); });
        components_[index].loads = ++loadings;
    }
}

void Model::use(int index, const char* what) {
    require(index, what);
    load_component(index, nullptr);
}

Traits Model::traits(const Component& component) const {
    Traits t = traits(*component.worker);
    if (component.stack != nullptr) {
        t.more_nodes = component.stack->more_nodes();
    }
    return t;
}

void Model::run(int index, const std::string& key, const BuildFunction& build, const std::vector<HostInput>& inputs,
                const std::vector<HostOutput>& outputs) {
    run(index, {{key, build, inputs, outputs}});
}

void Model::run(int index, const std::vector<LaneCall>& calls) {
    shallow_release();
    run_calls(runner_, lanes_, index, calls);
}

void Model::run_beside_shallow(const std::vector<LaneCall>& calls) {
    run_calls(runner_, lanes_, kUnet, calls);
}

void Model::run_shallow(const std::vector<LaneCall>& calls) {
    // A window of streamed weights serves one graph. A profile adds up what one runner measures.
    const bool shared = components_[kUnet].params->stream() != nullptr || profile().enabled();
    run_calls(shared ? runner_ : shallow_, shared ? lanes_ : shallow_lanes_, kUnet, calls);
}

void Model::run_calls(GraphRunner& runner, Lanes& lanes, int index, const std::vector<LaneCall>& calls) {
    const Component& component = components_[index];
    const Worker& worker       = *component.worker;
    running_                   = index;
    component.params->check_mapped();
    if (calls.size() == 1) {
        lanes.release();
        const LaneCall& call = calls[0];
        runner.run(call.key, worker, traits(component), call.build, call.inputs, call.outputs,
                   component.params->stream());
    } else {
        runner.release();
        lanes.run(worker.device(), traits(component), calls);
    }
    component.params->check_mapped();
}

std::vector<int64_t> Model::shares(int index, int64_t rows, int64_t least, const std::string& key,
                                   const BuildFunction& row) const {
    const Component& component       = components_[index];
    const Worker& worker             = *component.worker;
    const std::vector<int64_t> lanes = lane_rows(rows, least, worker.threads());
    if (lanes.size() == 1 || !worker.cpu() || component.params->stream() != nullptr || profile().enabled()) {
        return {rows};
    }
    const auto [found, fresh] = small_.try_emplace(key, false);
    if (fresh) {
        found->second = GraphRunner::small_nodes(worker, traits(worker), row);
    }
    return found->second ? lanes : std::vector<int64_t>{rows};
}

static void check_components(int32_t components) {
    if (components <= 0 || components >= 1 << DG_COMPONENT_COUNT) {
        fail(DG_ERR_ARGUMENT, "components: %d is no set of DG_COMPONENT_* bits", components);
    }
}

void Model::load(int32_t components) {
    check_components(components);
    for (int i = 0; i < DG_COMPONENT_COUNT; i++) {
        if (components & (1 << i)) {
            require(i, "load");
        }
    }
    for (int i = 0; i < DG_COMPONENT_COUNT; i++) {
        if (components & (1 << i)) {
            load_component(i, nullptr);
        }
    }
}

void Model::unload(int32_t components) {
    check_components(components);
    for (int i = 0; i < DG_COMPONENT_COUNT; i++) {
        if ((components & (1 << i)) && components_[i].params != nullptr && components_[i].params->loaded()) {
            if (running_ == i) {
                compute_release();  // the graph uses weights that are freed here
            }
            components_[i].params->unload();
        }
    }
}

void Model::make_room() {
    compute_release();
    for (Component& component : components_) {
        component.stack.reset();
    }
    trim_heap();
}

}  // namespace dg
