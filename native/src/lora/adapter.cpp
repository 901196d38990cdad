#include "lora/adapter.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>

#include "backend/lost.h"
#include "base/error.h"
#include "base/parallel.h"
#include "kernels/conv2d.h"
#include "kernels/convert.h"

namespace dg {

namespace {

std::vector<uint8_t> to_type(const std::vector<float>& values, ggml_type type) {
    std::vector<uint8_t> out(values.size() * ggml_type_size(type));
    convert_floats(values.data(), GGML_TYPE_F32, out.data(), type, static_cast<int64_t>(values.size()));
    return out;
}

bool is_matrix(int32_t form) {
    return form == DG_LORA_LOW_RANK || form == DG_LORA_KRON || form == DG_LORA_DENSE || form == DG_LORA_IN_LOW_RANK;
}

// Fills a low rank of a weight's inputs up with zeros. Low ranks of its outputs are filled up later, all together.
Change filled_up(Change c, const WeightShape& w) {
    if (c.form != DG_LORA_IN_LOW_RANK) {
        return c;
    }
    const int64_t rank = filled_rank(c.rank);
    c.a.resize(static_cast<size_t>(rank * w.in));
    std::vector<float> b(static_cast<size_t>(w.in * rank));
    for (int64_t i = 0; i < w.in; i++) {
        std::copy_n(c.b.begin() + i * c.rank, c.rank, b.begin() + i * rank);
    }
    c.b    = std::move(b);
    c.rank = rank;
    return c;
}

}  // namespace

int64_t Adapter::bytes() const {
    size_t n = 0;
    for (const Item& item : items) {
        n += item.a.size() + item.b.size();
    }
    return static_cast<int64_t>(n);
}

AdapterPtr load_adapter(const std::vector<AdapterHost>& hosts, const std::vector<dg_lora_target>& targets,
                        int32_t threads, MemoryAccount* account) {
    check_allocation("an adapter", 0, "cpu");
    std::unordered_map<std::string, std::pair<const AdapterHost*, Module>> known;
    for (const AdapterHost& host : hosts) {
        for (const Module& m : host.params->modules()) {
            known.emplace(m.name, std::make_pair(&host, m));
        }
    }
    auto adapter     = std::make_shared<Adapter>();
    adapter->targets = targets.size();
    std::vector<std::vector<Adapter::Item>> items(targets.size());
    in_parallel(static_cast<int64_t>(targets.size()), threads, [&](int64_t index) {
        const auto i                 = static_cast<size_t>(index);
        const dg_lora_target& target = targets[i];
        const char* name             = target.module != nullptr ? target.module : "";
        const auto found             = known.find(name);
        if (found == known.end()) {
            fail(DG_ERR_MODEL, "target %zu: the model has no module '%s'", i, name);
        }
        const auto& [host, module] = found->second;
        const WeightShape weight{module.name, module.kind, module.in, module.out, std::max<int64_t>(1, module.kernel)};
        std::vector<float> base;
        if (needs_base(target, weight)) {
            base = host->params->read_weight(module);
        }
        for (Change& read : read_changes(target, weight, base)) {
            const Change c       = filled_up(std::move(read), weight);
            const ggml_type type = is_matrix(c.form) ? host->params->policy().dense : GGML_TYPE_F32;
            Adapter::Item item{i,
                               host->component,
                               module,
                               c.form,
                               c.rank,
                               !c.b.empty(),
                               {},
                               type,
                               to_type(c.a, type),
                               to_type(c.b, type)};
            std::copy(c.shape, c.shape + 4, item.shape);
            items[i].push_back(std::move(item));
        }
    });
    for (auto& of_target : items) {
        std::move(of_target.begin(), of_target.end(), std::back_inserter(adapter->items));
    }
    adapter->held = Held(account, MemoryAccount::kAdapters, adapter->bytes());
    return adapter;
}

// Declares a stack's tensors, and fills them once they have memory.
class AdapterStack::Builder {
public:
    Builder(AdapterStack& stack, const TypePolicy& policy) : stack_(stack), policy_(policy) {}

    struct Part {
        const Adapter::Item* item;
        size_t adapter;
    };

    void declare(const Module& module, const std::vector<Part>& parts) {
        AppliedChange& change = stack_.changes_[module.weight];
        std::vector<Part> low;
        for (const Part& part : parts) {
            if (part.item->form == DG_LORA_LOW_RANK) {
                low.push_back(part);
            } else {
                declare_other(module, part, change);
            }
        }
        if (!low.empty()) {
            declare_low_rank(module, low, change);
        }
    }

    // Convolutions take a bias. Call it when all is declared.
    void declare_zeros() {
        if (longest_bias_ > 0) {
            zeros_ = ggml_new_tensor_1d(ctx(), GGML_TYPE_F32, longest_bias_);
            fill_.push_back({zeros_, [n = longest_bias_] { return std::vector<uint8_t>(static_cast<size_t>(n) * 4); }});
            for (auto& [conv, out] : without_bias_) {
                conv->bias = ggml_view_1d(ctx(), zeros_, out, 0);
            }
        }
    }

    void allocate(ggml_backend_t backend, const std::string& device_id) {
        size_t bytes = 0;
        for (ggml_tensor* t = ggml_get_first_tensor(ctx()); t != nullptr; t = ggml_get_next_tensor(ctx(), t)) {
            bytes += ggml_nbytes(t);
        }
        const std::string what = format("a stack of %zu adapters", stack_.adapters_.size());
        check_allocation(what, bytes, device_id);
        stack_.buffer_.reset(ggml_backend_alloc_ctx_tensors(ctx(), backend));
        if (stack_.buffer_ == nullptr) {
            out_of_memory(what, bytes, device_id);
        }
        on_device(find_device(device_id), what, [&] {
            for (const auto& [tensor, make] : fill_) {
                const std::vector<uint8_t> data = make();
                ggml_backend_tensor_set(tensor, data.data(), 0, data.size());
            }
        });
    }

private:
    ggml_context* ctx() const { return stack_.ctx_.get(); }

    int64_t places(size_t adapter, size_t target, int64_t count, bool used = true) {
        const auto at = static_cast<int64_t>(stack_.places_.size());
        stack_.places_.insert(stack_.places_.end(), static_cast<size_t>(count), {adapter, target, used});
        return at;
    }

    using Make = std::function<std::vector<uint8_t>()>;

    ggml_tensor* matrix(int64_t ne0, int64_t ne1, Make make) {
        ggml_tensor* t = ggml_new_tensor_2d(ctx(), policy_.dense, ne0, ne1);
        fill_.push_back({t, std::move(make)});
        return t;
    }

    // A kernel given as [out][in][k][k] of the dense type. `conv` must stay where it is.
    void convolution(Conv2d& conv, int64_t kernel, int64_t in, int64_t out, const Make& make) {
        conv.kernel = kernel;
        conv.in     = in;
        conv.out    = out;
        conv.packed = policy_.pack_convolutions;
        if (!conv.packed) {
            conv.weight = matrix(kernel * kernel * in, out, make);
        } else {
            const ggml_type type  = policy_.dense;
            const int64_t columns = conv_packed_columns(type, kernel, in), rows = conv_packed_rows(out);
            conv.weight = matrix(columns, rows, [=] {
                std::vector<uint8_t> packed(static_cast<size_t>(columns * rows) * ggml_type_size(type));
                conv_pack(make().data(), type, kernel, in, out, packed.data());
                return packed;
            });
        }
        longest_bias_ = std::max(longest_bias_, out);
        without_bias_.emplace_back(&conv, out);
    }

    void declare_low_rank(const Module& m, const std::vector<Part>& parts, AppliedChange& change) {
        int64_t rank = 0;
        change.at    = static_cast<int64_t>(stack_.places_.size());
        for (const Part& part : parts) {
            places(part.adapter, part.item->target, part.item->rank);
            rank += part.item->rank;
        }
        change.rank = filled_rank(rank);
        places(0, 0, change.rank - rank, false);
        const size_t size   = ggml_type_size(policy_.dense);
        const int64_t total = change.rank, out = m.out;
        // A's rows below each other
        const int64_t a_row = m.in * std::max<int64_t>(1, m.kernel * m.kernel);
        const Make make_a   = [=] {
            std::vector<uint8_t> data(static_cast<size_t>(a_row * total) * size);
            size_t at = 0;
            for (const Part& part : parts) {
                std::copy(part.item->a.begin(), part.item->a.end(), data.begin() + static_cast<ptrdiff_t>(at));
                at += part.item->a.size();
            }
            return data;
        };
        // B's columns side by side
        const Make make_b = [=] {
            std::vector<uint8_t> data(static_cast<size_t>(total * out) * size);
            size_t column = 0;
            for (const Part& part : parts) {
                const size_t width = static_cast<size_t>(part.item->rank) * size;
                for (int64_t o = 0; o < out; o++) {
                    std::memcpy(&data[static_cast<size_t>(o * total) * size + column],
                                &part.item->b[static_cast<size_t>(o) * width], width);
                }
                column += width;
            }
            return data;
        };
        if (m.kind == DG_MODULE_CONV2D) {
            convolution(change.conv_a, m.kernel, m.in, total, make_a);
            convolution(change.conv_b, 1, total, out, make_b);
        } else {
            change.a = matrix(m.in, total, make_a);
            change.b = matrix(total, out, make_b);
        }
    }

    void declare_other(const Module& m, const Part& part, AppliedChange& change) {
        const Adapter::Item& item = *part.item;
        const Make a = [&item] { return item.a; }, b = [&item] { return item.b; };
        AppliedChange::Other other{item.form, places(part.adapter, item.target, 1), nullptr, nullptr, {}, {}};
        const bool conv = m.kind == DG_MODULE_CONV2D;
        switch (item.form) {
            case DG_LORA_KRON:
                other.a = matrix(item.shape[1], item.shape[0], a);
                other.b = matrix(item.shape[3], item.shape[2], b);
                break;
            case DG_LORA_DENSE:
                if (!conv) {
                    other.a = matrix(m.in, m.out, a);
                }
                break;
            case DG_LORA_IN_LOW_RANK:
                if (!conv) {
                    other.a = matrix(m.in, item.rank, a);
                    other.b = matrix(item.rank, m.in, b);
                }
                break;
            case DG_LORA_OUT_ROTATE:
            case DG_LORA_IN_ROTATE:
                other.a = ggml_new_tensor_4d(ctx(), GGML_TYPE_F32, item.shape[3], item.shape[2], item.shape[1],
                                             item.shape[0]);
                fill_.push_back({other.a, a});
                other.b = item.factors ? vector(m.out, b) : nullptr;
                stack_.stages_ += static_cast<size_t>(item.shape[0]);
                break;
            default: other.a = vector(item.form == DG_LORA_IN_SCALE ? m.in : m.out, a);
        }
        // reserved before: references to elements stay valid
        change.others.push_back(other);
        AppliedChange::Other& there = change.others.back();
        if (conv && item.form == DG_LORA_DENSE) {
            convolution(there.conv, m.kernel, m.in, m.out, a);
        } else if (conv && item.form == DG_LORA_IN_LOW_RANK) {
            convolution(there.conv, 1, m.in, item.rank, a);
            convolution(there.conv_b, 1, item.rank, m.in, b);
        }
    }

    ggml_tensor* vector(int64_t size, const Make& make) {
        ggml_tensor* t = ggml_new_tensor_1d(ctx(), GGML_TYPE_F32, size);
        fill_.push_back({t, make});
        return t;
    }

    AdapterStack& stack_;
    const TypePolicy policy_;
    std::vector<std::pair<ggml_tensor*, Make>> fill_;
    std::vector<std::pair<Conv2d*, int64_t>> without_bias_;
    int64_t longest_bias_ = 0;
    ggml_tensor* zeros_   = nullptr;
};

AdapterStack::AdapterStack(std::vector<AdapterPtr> adapters, int component, const TypePolicy& policy,
                           ggml_backend_t backend, const std::string& device_id, MemoryAccount* account)
    : adapters_(std::move(adapters)) {
    static std::atomic<int64_t> last_id{0};
    id_ = ++last_id;
    Builder builder(*this, policy);
    declare(builder, component);
    builder.allocate(backend, device_id);
    held_ = Held(account, MemoryAccount::kAdapters, bytes());
}

AdapterStack::AdapterStack(AdapterPtr shapes, int component, const TypePolicy& policy) : adapters_{std::move(shapes)} {
    Builder builder(*this, policy);
    declare(builder, component);
    put_nowhere(ctx_.get());
}

void AdapterStack::declare(Builder& builder, int component) {
    std::vector<const Module*> order;
    std::unordered_map<const ggml_tensor*, std::vector<Builder::Part>> parts;
    for (size_t i = 0; i < adapters_.size(); i++) {
        for (const Adapter::Item& item : adapters_[i]->items) {
            if (item.component != component) {
                continue;
            }
            auto& of_module = parts[item.module.weight];
            if (of_module.empty()) {
                order.push_back(&item.module);
            }
            of_module.push_back({&item, i});
        }
    }
    ggml_init_params params;
    size_t tensors = 1;
    for (const auto& [weight, of_module] : parts) {
        tensors += 4 + 4 * of_module.size();
    }
    params.mem_size   = ggml_tensor_overhead() * tensors;
    params.mem_buffer = nullptr;
    params.no_alloc   = true;
    ctx_.reset(ggml_init(params));
    if (ctx_ == nullptr) {
        fail(DG_ERR_OUT_OF_MEMORY, "no memory for the tensors of a stack of adapters");
    }
    for (const Module* module : order) {
        const auto& of_module = parts[module->weight];
        changes_[module->weight].others.reserve(of_module.size());
        builder.declare(*module, of_module);
    }
    builder.declare_zeros();
}

const AppliedChange* AdapterStack::find(const ggml_tensor* weight) const {
    const auto found = changes_.find(weight);
    return found != changes_.end() ? &found->second : nullptr;
}

std::vector<float> AdapterStack::scales(const std::vector<const float*>& weights) const {
    std::vector<float> out(places_.size());
    for (size_t i = 0; i < places_.size(); i++) {
        out[i] = places_[i].used ? weights[places_[i].adapter][places_[i].target] : 0.0f;
    }
    return out;
}

int64_t AdapterStack::bytes() const {
    return static_cast<int64_t>(ggml_backend_buffer_get_size(buffer_.get()));
}

}  // namespace dg
