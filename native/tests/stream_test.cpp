// Streaming as it is on devices with memory of their own: weights are copied to the host once and go to the window between
// segments. The device is the CPU, which has the same interface.

#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "backend/graph.h"
#include "backend/memory.h"
#include "base/error.h"
#include "check.h"
#include "model/params.h"
#include "model/source.h"
#include "model/stream.h"
#include "modules/ops.h"
#include "nano.h"

using namespace dg;

namespace {

// Three layers of a text encoder's MLP, and two convolutions of the UNet, one of which reads the other's result.
struct Net {
    Source source{{{check::nano().path}}, check::nano().weights};
    std::unique_ptr<Params> params;
    std::vector<std::pair<Linear, Linear>> mlp;
    Conv2d first, second;
    int64_t width = 0, hidden = 0;

    explicit Net(ggml_type type) {
        TypePolicy policy;
        policy.matrix = type;
        policy.dense  = ggml_is_quantized(type) ? GGML_TYPE_F16 : type;
        params        = std::make_unique<Params>(source, policy, "net");
        for (int l = 0; l < 3; l++) {
            const std::string base  = "text_encoder.text_model.encoder.layers." + std::to_string(l) + ".mlp.";
            const SourceTensor* fc1 = source.find(base + "fc1.weight");
            REQUIRE(fc1 != nullptr);
            width  = fc1->ne[0];
            hidden = fc1->ne[1];
            mlp.push_back({params->linear(base + "fc1", width, hidden), params->linear(base + "fc2", hidden, width)});
        }
        first  = params->conv2d("unet.conv_in", 3, 4, 32);
        second = params->conv2d("unet.conv_out", 3, 32, 4);
    }

    BuildFunction build() const {
        return [this](GraphBuilder& g) {
            ggml_tensor* x = g.input(GGML_TYPE_F32, width, 5);
            ggml_tensor* p = g.input(GGML_TYPE_F32, 8, 8, 4, 1);
            for (const auto& [fc1, fc2] : mlp) {
                x = linear(g, fc2, ggml_silu(g.ctx, linear(g, fc1, x)), x);
            }
            ConvOptions options;
            p = conv2d(g, second, ggml_silu(g.ctx, conv2d(g, first, p, options)), options);
            g.output(x);
            g.output(p);
        };
    }
};

struct Machine {
    std::atomic<bool> cancel{false};
    MemoryAccount account;
    Worker worker{find_device("cpu"), 1, &cancel};
    GraphRunner runner{&cancel, &account};
    Traits traits;

    void place(Params& params, int32_t residency, int64_t window) {
        params.place({worker.backend(), "cpu", false, residency, window, &account, 0});
    }

    std::vector<float> run(const Net& net) {
        std::vector<float> x(static_cast<size_t>(net.width * 5)), p(4 * 8 * 8), out(x.size()), picture(p.size());
        for (size_t i = 0; i < x.size(); i++) {
            x[i] = std::sin(0.3f * static_cast<float>(i));
        }
        for (size_t i = 0; i < p.size(); i++) {
            p[i] = std::cos(0.7f * static_cast<float>(i));
        }
        net.params->load(2, [] { return false; });
        runner.run("net", worker, traits, net.build(),
                   {{x.data(), x.size() * sizeof(float)}, {p.data(), p.size() * sizeof(float)}},
                   {{out.data(), out.size()}, {picture.data(), picture.size()}}, net.params->stream());
        out.insert(out.end(), picture.begin(), picture.end());
        return out;
    }
};

}  // namespace

CASE("what a device streams from host memory is what it has resident") {
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0}) {
        std::vector<float> want;
        {
            Machine machine;  // outlives the net, whose memory it counts
            Net net(type);
            machine.place(*net.params, DG_RESIDENT_ALWAYS, 0);
            want = machine.run(net);
        }
        const int64_t largest = static_cast<int64_t>(ggml_nbytes(Net(type).mlp[0].first.weight)) + 64;
        for (const int64_t window : {largest, 2 * largest, 3 * largest + 4096, int64_t{0}}) {
            Machine machine;  // outlives the net, whose memory it counts
            Net net(type);
            machine.place(*net.params, DG_RESIDENT_STREAM, window);
            CHECK(machine.run(net) == want);
            CHECK(machine.run(net) == want);
            const size_t segments = net.params->stream()->segments();
            CHECK_EQ(segments > 1, window != 0);
            dg_memory_info memory{};
            machine.account.report(&memory);
            CHECK(memory.host[0] > 5 * largest);
            CHECK(window == 0 || memory.weights[0] <= window + 65536);
            CHECK_EQ(memory.total, memory.weights[0] + memory.host[0] + memory.compute);
            machine.runner.release();
            net.params->unload();
            machine.account.report(&memory);
            CHECK_EQ(memory.total, int64_t{0});
            CHECK(machine.run(net) == want);
            machine.runner.release();
        }
    }
}

CASE("a window that the largest layer does not fit into is refused by name") {
    Machine machine;
    Net net(GGML_TYPE_F32);
    try {
        machine.place(*net.params, DG_RESIDENT_STREAM, 1000);
        CHECK(false);
    } catch (const Error& e) {
        CHECK_EQ(e.status(), DG_ERR_ARGUMENT);
        CHECK(std::string(e.what()).find("stream_bytes: 1000 is less than the largest layer of the net needs") == 0);
        CHECK(std::string(e.what()).find("mlp.fc") != std::string::npos);
    }
}

CASE("a component that is not loaded when it should be stays unloaded, and a cancelled load frees what it had") {
    Machine machine;
    Net net(GGML_TYPE_F16);
    machine.place(*net.params, DG_RESIDENT_ON_DEMAND, 0);
    int asked = 0;
    try {
        net.params->load(1, [&] { return ++asked > 3; });
        CHECK(false);
    } catch (const Error& e) {
        CHECK_EQ(e.status(), DG_ERR_CANCELLED);
    }
    CHECK(!net.params->loaded());
    dg_memory_info memory{};
    machine.account.report(&memory);
    CHECK_EQ(memory.total, int64_t{0});
    CHECK(memory.total_peak > 0);
    net.params->load(2, [] { return false; });
    CHECK(net.params->loaded());
}

CHECK_MAIN()
