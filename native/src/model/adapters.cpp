// The model's part of adapters: the layers that they can change, and the stack that each component applies.

#include <algorithm>

#include "base/error.h"
#include "model/model.h"

struct dg_lora;

namespace dg {

// The adapter behind a handle. Fails if the handle belongs to another model (abi.cpp).
const AdapterPtr& adapter_of(const dg_lora* lora, const Model& model);

std::vector<Module> Model::modules() const {
    std::vector<Module> out;
    for (const Component& c : components_) {
        if (c.params != nullptr) {
            const std::vector<Module> more = c.params->modules();
            out.insert(out.end(), more.begin(), more.end());
        }
    }
    return out;
}

AdapterPtr Model::load_adapter(const std::vector<dg_lora_target>& targets) {
    std::vector<AdapterHost> hosts;
    for (const int index : {kText1, kText2, kUnet}) {
        if (components_[index].params != nullptr) {
            hosts.push_back({components_[index].params.get(), index});
        }
    }
    return dg::load_adapter(hosts, targets, threads_, &memory_);
}

void Model::forget_adapter(const AdapterPtr& adapter) {
    for (Component& c : components_) {
        if (c.stack != nullptr) {
            const auto& used = c.stack->adapters();
            if (std::find(used.begin(), used.end(), adapter) != used.end()) {
                compute_release();
                c.stack.reset();
            }
        }
    }
}

const AdapterStack* Model::stack_of(int index, const dg_lora_use* uses, int64_t count, std::vector<float>* scales) {
    std::vector<AdapterPtr> adapters;
    std::vector<const float*> weights;
    const char* at = reinterpret_cast<const char*>(uses);
    for (int64_t i = 0; i < count; i++) {
        const auto* use = reinterpret_cast<const dg_lora_use*>(at);
        if (use == nullptr || use->struct_size < sizeof(dg_lora_use)) {
            fail(DG_ERR_ARGUMENT, "loras[%lld]: its struct_size is too small", static_cast<long long>(i));
        }
        at += use->struct_size;
        const AdapterPtr& adapter = adapter_of(use->lora, *this);
        if (use->weights == nullptr || use->weight_count != static_cast<int64_t>(adapter->targets)) {
            fail(DG_ERR_ARGUMENT, "loras[%lld]: %lld weights for %zu targets", static_cast<long long>(i),
                 static_cast<long long>(use->weights == nullptr ? 0 : use->weight_count), adapter->targets);
        }
        const bool takes_part = std::any_of(
            adapter->items.begin(), adapter->items.end(),
            [&](const Adapter::Item& item) { return item.component == index && use->weights[item.target] != 0.0f; });
        if (takes_part) {
            adapters.push_back(adapter);
            weights.push_back(use->weights);
        }
    }
    Component& component = components_[index];
    if (adapters.empty()) {
        return nullptr;  // the last stack is kept: adapters often pause for some steps
    }
    if (component.stack == nullptr || component.stack->adapters() != adapters) {
        compute_release();  // the graph uses the stack that is freed here
        component.stack.reset();
        component.stack =
            std::make_unique<AdapterStack>(adapters, index, component.params->policy(), component.worker->backend(),
                                           component.worker->device().id, &memory_);
        stacks_built_++;
    }
    *scales = component.stack->scales(weights);
    return component.stack.get();
}

}  // namespace dg
