#include "modules/trial.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "backend/lost.h"
#include "base/error.h"
#include "model/types.h"
#include "modules/ops.h"

namespace dg {

namespace {

constexpr int64_t kKernel     = 3;
constexpr int64_t kMostValues = int64_t{1} << 30;

// The same values on every device: multiples of 1/64 in [-1, 1], which every type of weight holds exactly.
std::vector<float> random_values(int64_t count, uint64_t seed, double amplitude) {
    std::vector<float> values(static_cast<size_t>(count));
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (float& v : values) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        v     = static_cast<float>(amplitude * (static_cast<double>((state >> 33) % 129) - 64.0) / 64.0);
    }
    return values;
}

// The layer's weights on the device.
class Weights {
public:
    Weights(const dg_trial& trial, const Worker& worker) {
        ggml_init_params params{};
        params.mem_size = 4 * ggml_tensor_overhead();
        params.no_alloc = true;
        ctx_.reset(ggml_init(params));
        const bool conv      = trial.kind == DG_TRIAL_CONV2D;
        const int64_t inputs = conv ? kKernel * kKernel * trial.in : trial.in;
        const ggml_type type = to_ggml_type(trial.type);
        weight               = ggml_new_tensor_2d(ctx_.get(), type, inputs, trial.out);
        bias                 = ggml_new_tensor_1d(ctx_.get(), GGML_TYPE_F32, trial.out);
        buffer_.reset(ggml_backend_alloc_ctx_tensors(ctx_.get(), worker.backend()));
        if (buffer_ == nullptr) {
            fail(DG_ERR_OUT_OF_MEMORY, "weights of a trial: %zu bytes could not be allocated on %s",
                 ggml_nbytes(weight) + ggml_nbytes(bias), worker.device().id.c_str());
        }
        const std::vector<float> values = random_values(inputs * trial.out, 1, amplitude(trial));
        std::vector<uint8_t> stored(ggml_nbytes(weight));
        convert_rows(values.data(), GGML_TYPE_F32, stored.data(), type, trial.out, inputs);
        const std::vector<float> offsets = random_values(trial.out, 2, 1);
        on_device(worker.device(), "weights of a trial", [&] {
            ggml_backend_tensor_set(weight, stored.data(), 0, stored.size());
            ggml_backend_tensor_set(bias, offsets.data(), 0, ggml_nbytes(bias));
        });
    }

    static double amplitude(const dg_trial& trial) { return trial.amplitude == 0 ? 1 : trial.amplitude; }

    ggml_tensor* weight;
    ggml_tensor* bias;

private:
    ContextPtr ctx_;
    BufferPtr buffer_;
};

void check(const dg_trial& t) {
    if (t.kind < DG_TRIAL_CONV2D || t.kind > DG_TRIAL_LINEAR) {
        fail(DG_ERR_ARGUMENT, "kind: %d is none of DG_TRIAL_*", t.kind);
    }
    if (t.type != DG_TYPE_F32 && t.type != DG_TYPE_F16 && t.type != DG_TYPE_BF16) {
        fail(DG_ERR_ARGUMENT, "type: %d is none of F32, F16 and BF16", t.type);
    }
    int64_t values = 1;
    for (const int64_t size : {t.batch, t.height, t.width, std::max(t.in, t.out)}) {
        if (size < 1 || size > kMostValues / values) {
            fail(DG_ERR_ARGUMENT, "a trial's size of %lld is less than 1, or makes it too large",
                 static_cast<long long>(size));
        }
        values *= size;
    }
    if (t.in < 1 || t.out < 1 || (t.kind == DG_TRIAL_ATTENTION && t.in % t.out != 0)) {
        fail(DG_ERR_ARGUMENT, "in, out: %lld channels, %lld", static_cast<long long>(t.in),
             static_cast<long long>(t.out));
    }
    if (t.repeats < 0 || t.repeats > 1000 || t.threads < 0 || t.threads > 1024) {
        fail(DG_ERR_ARGUMENT, "repeats, threads: %d, %d", t.repeats, t.threads);
    }
}

// The number of values of each input: one, or queries, keys and values.
std::vector<int64_t> input_sizes(const dg_trial& t) {
    switch (t.kind) {
        case DG_TRIAL_CONV2D: return {t.batch * t.in * t.height * t.width};
        case DG_TRIAL_LINEAR: return {t.batch * t.in * t.height};
        default: return {t.batch * t.in * t.height, t.batch * t.in * t.width, t.batch * t.in * t.width};
    }
}

int64_t output_size(const dg_trial& t) {
    switch (t.kind) {
        case DG_TRIAL_CONV2D: return t.batch * t.out * t.height * t.width;
        case DG_TRIAL_LINEAR: return t.batch * t.out * t.height;
        default: return t.batch * t.in * t.height;
    }
}

// Whether the graph has the operation that the trial is about; other ways are no answer.
void check_way(const dg_trial& trial, const Worker& worker, const Traits& traits, const BuildFunction& build) {
    bool flash = false, direct = false;
    GraphRunner::inspect(worker, traits, build, [&](ggml_tensor* node) {
        flash  = flash || node->op == GGML_OP_FLASH_ATTN_EXT;
        direct = direct || node->op == GGML_OP_CONV_2D;
    });
    const bool lacks = (trial.kind == DG_TRIAL_ATTENTION && traits.flash_attention && !flash) ||
                       (trial.kind == DG_TRIAL_CONV2D && traits.direct_convolution && !direct);
    if (lacks && !worker.cpu()) {
        fail(DG_ERR_UNSUPPORTED, "%s has no kernel for this layer", worker.device().id.c_str());
    }
}

}  // namespace

double run_trial(const dg_trial& t, float* values, size_t count) {
    check(t);
    const auto total = static_cast<size_t>(output_size(t));
    if (values != nullptr && count != total) {
        fail(DG_ERR_ARGUMENT, "values: has room for %zu floats where %zu are written", count, total);
    }
    std::atomic<bool> cancel{false};
    MemoryAccount account;
    const Worker worker(find_device(t.device == nullptr ? "" : t.device), t.threads > 0 ? t.threads : default_threads(),
                        &cancel);
    Traits traits;
    traits.cpu                = worker.cpu();
    traits.exact              = traits.cpu;  // the reference
    traits.flash_attention    = t.flash_attention == DG_FLASH_ON;
    traits.direct_convolution = !traits.cpu && t.convolution == DG_CONV_DIRECT;
    const Weights weights(t, worker);
    const BuildFunction build = [&](GraphBuilder& g) {
        switch (t.kind) {
            case DG_TRIAL_CONV2D: {
                const Conv2d layer{weights.weight, weights.bias, kKernel, t.in, t.out, false};
                g.output(conv2d(g, layer, g.input(GGML_TYPE_F32, t.width, t.height, t.in, t.batch)));
                break;
            }
            case DG_TRIAL_LINEAR:
                g.output(linear(g, {weights.weight, weights.bias}, g.input(GGML_TYPE_F32, t.in, t.height, t.batch)));
                break;
            default: {
                ggml_tensor* q = g.input(GGML_TYPE_F32, t.in, t.height, t.batch);
                ggml_tensor* k = g.input(GGML_TYPE_F32, t.in, t.width, t.batch);
                ggml_tensor* v = g.input(GGML_TYPE_F32, t.in, t.width, t.batch);
                g.output(attention(g, q, k, v, t.out));
            }
        }
    };
    check_way(t, worker, traits, build);
    std::vector<std::vector<float>> data;
    std::vector<HostInput> inputs;
    for (const int64_t size : input_sizes(t)) {
        data.push_back(random_values(size, 3 + data.size(), Weights::amplitude(t)));
        inputs.push_back({data.back().data(), data.back().size() * sizeof(float)});
    }
    std::vector<float> result(total);
    GraphRunner runner(&cancel, &account);
    std::vector<double> seconds;
    for (int i = 0; i <= t.repeats; i++) {
        runner.run("trial", worker, traits, build, inputs, {{result.data(), result.size()}});
        if (i > 0) {
            seconds.push_back(runner.seconds());
        }
    }
    if (values != nullptr) {
        std::copy(result.begin(), result.end(), values);
    }
    if (seconds.empty()) {
        return 0;
    }
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
}

}  // namespace dg
