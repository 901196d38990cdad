// Threads that are refused, and how many are used.
#include <atomic>
#include <functional>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/device.h"
#include "backend/graph.h"
#include "backend/lanes.h"
#include "backend/memory.h"
#include "base/error.h"
#include "base/parallel.h"
#include "check.h"
#include "daguerre.h"
#include "nano.h"

using namespace dg;

namespace {

// How many threads take part in n calls that wait for each other, up to `threads` at a time.
size_t threads_of(int64_t n, int32_t threads) {
    std::mutex mutex;
    std::set<std::thread::id> ids;
    std::atomic<int64_t> calls{0};
    const int64_t before = threads_started();
    in_parallel(n, threads, [&](int64_t) {
        calls++;
        const std::lock_guard<std::mutex> lock(mutex);
        ids.insert(std::this_thread::get_id());
    });
    CHECK(calls == n);
    CHECK(threads_started() - before < threads);  // also of those that came too late for a call
    return ids.size();
}

}  // namespace

CASE("no more threads than allowed") {
    CHECK(threads_of(1000, 1) == 1);
    CHECK(threads_of(1000, 3) <= 3);
    CHECK(threads_of(1, 8) == 1);
    CHECK(threads_of(0, 8) == 0);
    // calls that wait until two are there need two threads
    std::atomic<int> there{0};
    in_parallel(2, 2, [&](int64_t) {
        there++;
        while (there < 2) {
            std::this_thread::yield();
        }
    });
    CHECK(there == 2);
}

CASE("refused threads") {
    refuse_threads(true);
    CHECK(threads_of(100, 64) == 1);
    {
        LaneThread lane;
        bool called = false;
        lane.start([&] { called = true; });
        lane.wait();
        CHECK(called);
    }
    refuse_threads(false);
    LaneThread lane;
    bool called = false;
    lane.start([&] { called = true; });
    lane.wait();
    CHECK(called);
}

CASE("a failed call is thrown where threads are refused too") {
    for (const bool refuse : {false, true}) {
        refuse_threads(refuse);
        bool thrown = false;
        try {
            in_parallel(100, 8, [](int64_t i) {
                if (i == 7) {
                    throw std::runtime_error("seven");
                }
            });
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        CHECK(thrown);
    }
    refuse_threads(false);
}

// Runs a body in a process whose user may have no more of them: the system itself refuses its threads.
void without_threads(const std::function<bool()>& body) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const rlimit none{0, 0};
        if (setrlimit(RLIMIT_NPROC, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0)) {
            _exit(3);
        }
        _exit(body() ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

CASE("limit of processes") {
    without_threads([] {
        std::atomic<int> calls{0};
        in_parallel(100, 64, [&](int64_t) { calls++; });
        return calls == 100;
    });
}

CASE("a graph is computed by one thread where the system refuses more") {
    int32_t abi = dg_abi_version();  // any call has assertions become errors
    char message[256];
    dg_model* none = nullptr;
    CHECK(abi == DG_ABI_VERSION && dg_model_close(&none, message, sizeof(message)) == DG_OK);
    without_threads([] {
        const AssertionGuard assertions;
        const std::atomic<bool> cancel{false};
        MemoryAccount account;
        const Worker worker(find_device("cpu"), 8, &cancel);
        GraphRunner runner(&cancel, &account);
        Traits traits;
        traits.cpu      = true;
        const int64_t n = 512;
        std::vector<float> a(static_cast<size_t>(n * n), 1.0f), out(a.size());
        const auto build = [&](GraphBuilder& g) {
            ggml_tensor* x = g.input(GGML_TYPE_F32, n, n);
            ggml_tensor* y = g.input(GGML_TYPE_F32, n, n);
            g.output(ggml_mul_mat(g.ctx, x, y));
        };
        const HostInput in{a.data(), a.size() * sizeof(float)};
        runner.run("test", worker, traits, build, {in, in}, {{out.data(), out.size()}});
        return out[0] == static_cast<float>(n) && out.back() == static_cast<float>(n);
    });
}

CASE("an adapter is loaded by the model's threads, and without any") {
    const check::Table& table = check::nano();
    char message[1024];
    for (const int32_t threads : {1, 3}) {
        dg_model_file file;
        std::memset(&file, 0, sizeof(file));
        file.struct_size = sizeof(file);
        file.path        = table.path.c_str();
        dg_model_config config;
        std::memset(&config, 0, sizeof(config));
        config.struct_size          = sizeof(config);
        config.unet_norm_num_groups = 4;
        config.vae_norm_num_groups  = 2;
        dg_model_params params;
        std::memset(&params, 0, sizeof(params));
        params.struct_size  = sizeof(params);
        params.files        = &file;
        params.file_count   = 1;
        params.weights      = table.weights.data();
        params.weight_count = static_cast<int64_t>(table.weights.size());
        params.config       = &config;
        params.threads      = threads;
        dg_model* model     = nullptr;
        CHECK(dg_model_open(&params, &model, message, sizeof(message)) == DG_OK);
        std::vector<dg_module_info> modules(2000);
        for (dg_module_info& m : modules) {
            m.struct_size = sizeof(m);
        }
        size_t count = 0;
        CHECK(dg_model_get_modules(model, modules.data(), modules.size(), &count, message, sizeof(message)) == DG_OK);
        std::vector<float> ones(4096, 1.0f);
        std::vector<dg_lora_target> targets;
        for (size_t i = 0; i < count && i < modules.size(); i++) {
            if (modules[i].kind == DG_MODULE_LINEAR && std::strncmp(modules[i].name, "unet.", 5) == 0) {
                dg_lora_target t;
                std::memset(&t, 0, sizeof(t));
                t.struct_size = sizeof(t);
                t.module      = modules[i].name;
                t.form        = DG_LORA_OUT_SCALE;
                t.scale       = 1;
                t.a           = {sizeof(t.a), ones.data(), DG_TYPE_F32, 1, {modules[i].out, 0, 0, 0}};
                targets.push_back(t);
            }
        }
        CHECK(targets.size() > 50);
        for (const bool refuse : {false, true}) {
            const int64_t before = threads_started();
            refuse_threads(refuse);
            dg_lora* lora = nullptr;
            CHECK(dg_lora_load(model, targets.data(), static_cast<int64_t>(targets.size()), &lora, message,
                               sizeof(message)) == DG_OK);
            refuse_threads(false);
            CHECK(threads_started() - before == (refuse ? 0 : threads - 1));
            CHECK(dg_lora_free(&lora, message, sizeof(message)) == DG_OK);
        }
        CHECK(dg_model_close(&model, message, sizeof(message)) == DG_OK);
    }
}

CHECK_MAIN()
