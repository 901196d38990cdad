// The nano model through the C ABI: batches, precisions, attention paths, sizes, cancelling, errors.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "daguerre.h"
#include "nano.h"

namespace {

char message[1024];

struct Options {
    int32_t precision = DG_PRECISION_EXACT, flash = DG_FLASH_AUTO, type = DG_TYPE_AUTO, threads = 2, components = 0;
    const char* device = nullptr;
    int32_t residency  = DG_RESIDENT_ALWAYS;
    int64_t window = 0, attention = 0;
};

dg_status open_model(const Options& options, dg_model** model) {
    const check::Table& table = check::nano();
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
    params.struct_size     = sizeof(params);
    params.files           = &file;
    params.file_count      = 1;
    params.weights         = table.weights.data();
    params.weight_count    = static_cast<int64_t>(table.weights.size());
    params.config          = &config;
    params.precision       = options.precision;
    params.flash_attention = options.flash;
    params.type_unet       = options.type;
    params.threads         = options.threads;
    params.components      = options.components;
    params.device          = options.device;
    params.residency_text  = options.residency;
    params.residency_unet  = options.residency;
    params.residency_vae   = options.residency;
    params.stream_bytes    = options.window;
    params.attention_bytes = options.attention;
    return dg_model_open(&params, model, message, sizeof(message));
}

struct Nano {
    dg_model* model = nullptr;

    explicit Nano(const Options& options = {}) {
        const dg_status status = open_model(options, &model);
        CHECK_EQ(std::string(message), std::string(""));
        REQUIRE(status == DG_OK);
    }
    ~Nano() { CHECK_EQ(dg_model_close(&model, message, sizeof(message)), DG_OK); }
};

std::vector<float> wave(size_t n, float phase) {
    std::vector<float> v(n);
    for (size_t i = 0; i < n; i++) {
        v[i] = std::sin(phase + 0.7f * static_cast<float>(i % 1013));
    }
    return v;
}

// Inputs of n images of 4 x h x w latents; image i is the same whatever n. Image i has text i % texts.
std::vector<float> evaluate(dg_model* model, int64_t n, int64_t h, int64_t w, int64_t first = 0, int64_t tokens = 77,
                            int64_t texts = 1000) {
    std::vector<float> sample, time, context, pooled, ids, out(static_cast<size_t>(n * 4 * h * w));
    for (int64_t i = first; i < first + n; i++) {
        const auto add = [&](std::vector<float>& to, size_t count, float phase) {
            const auto v = wave(count, phase + static_cast<float>(i));
            to.insert(to.end(), v.begin(), v.end());
        };
        add(sample, static_cast<size_t>(4 * h * w), 0.1f);
        const auto text = wave(static_cast<size_t>(tokens * 128), 0.2f + static_cast<float>(i % texts));
        context.insert(context.end(), text.begin(), text.end());
        add(pooled, 64, 0.3f);
        time.push_back(500.0f + static_cast<float>(i));
        for (const float id : {128.0f, 128.0f, 0.0f, 0.0f, 128.0f, 128.0f}) {
            ids.push_back(id);
        }
    }
    dg_unet_input in;
    std::memset(&in, 0, sizeof(in));
    in.struct_size         = sizeof(in);
    in.batch               = n;
    in.height              = h;
    in.width               = w;
    in.context_tokens      = tokens;
    in.sample              = sample.data();
    in.timesteps           = time.data();
    in.context             = context.data();
    in.pooled              = pooled.data();
    in.size_ids            = ids.data();
    const dg_status status = dg_unet_eval(model, &in, out.data(), out.size(), message, sizeof(message));
    CHECK_EQ(std::string(message), std::string(""));
    REQUIRE(status == DG_OK);
    return out;
}

// The UNet's compute buffer for such a batch whose texts all differ.
dg_compute_query unet_query(int64_t batch, int64_t height, int64_t width) {
    dg_compute_query query;
    std::memset(&query, 0, sizeof(query));
    query.struct_size    = sizeof(query);
    query.stage          = DG_STAGE_UNET;
    query.batch          = batch;
    query.height         = height;
    query.width          = width;
    query.context_tokens = 77;
    return query;
}

double relative(const float* a, const float* b, size_t n) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        difference += (a[i] - b[i]) * static_cast<double>(a[i] - b[i]);
        norm += b[i] * static_cast<double>(b[i]);
    }
    return std::sqrt(difference / norm);
}

}  // namespace

CASE("information is inferred from the weights") {
    Nano nano;
    dg_model_info info;
    std::memset(&info, 0, sizeof(info));
    info.struct_size = sizeof(info);
    REQUIRE(dg_get_model_info(nano.model, &info, message, sizeof(message)) == DG_OK);
    CHECK_EQ(info.kind, static_cast<int32_t>(DG_KIND_SDXL_BASE));
    CHECK_EQ(info.unet.levels, 3);
    CHECK_EQ(info.unet.channels[0], 32);
    CHECK_EQ(info.unet.channels[2], 128);
    CHECK_EQ(info.unet.transformer_depth[0], 0);
    CHECK_EQ(info.unet.transformer_depth[2], 1);
    CHECK_EQ(info.unet.context_dim, 128);
    CHECK_EQ(info.unet.pooled_dim, 64);
    CHECK_EQ(info.unet.size_ids, 6);
    CHECK_EQ(info.text_encoder.layers, 3);
    CHECK_EQ(info.text_encoder_2.projection_dim, 64);
    CHECK_EQ(info.vae.downscale, 8);
    CHECK_EQ(info.vae.encoder_channels[3], 64);
    for (const dg_component_info& c : info.components) {
        if (&c - info.components >= 5) {
            break;  // what follows is of models of their own
        }
        CHECK_EQ(c.loaded, 1);
        CHECK(c.parameter_bytes > c.parameter_count);
    }
}

CASE("an image's result does not depend on its batch") {
    for (const int32_t flash : {DG_FLASH_ON, DG_FLASH_OFF}) {
        Options options;
        options.flash = flash;
        Nano nano(options);
        for (const int64_t side : {16, 17}) {
            const auto batch   = evaluate(nano.model, 3, side, 16);
            const size_t image = batch.size() / 3;
            for (int64_t i = 0; i < 3; i++) {
                const auto alone = evaluate(nano.model, 1, side, 16, i);
                CHECK_NEAR(relative(batch.data() + static_cast<size_t>(i) * image, alone.data(), image), 0, 1e-5);
            }
        }
    }
}

CASE("attention with and without scores in memory agree, over two chunks of text too") {
    Options on, off;
    on.flash  = DG_FLASH_ON;
    off.flash = DG_FLASH_OFF;
    Nano a(on), b(off);
    for (const int64_t tokens : {77, 154}) {
        const auto x = evaluate(a.model, 2, 16, 24, 0, tokens), y = evaluate(b.model, 2, 16, 24, 0, tokens);
        CHECK_NEAR(relative(x.data(), y.data(), x.size()), 0, 1e-5);
    }
}

CASE("lower precisions and quantized types stay near exact") {
    Nano exact;
    const auto want = evaluate(exact.model, 1, 16, 16);
    struct Expectation {
        int32_t precision, type;
        double tolerance;
    };
    for (const Expectation e :
         {Expectation{DG_PRECISION_F32, DG_TYPE_AUTO, 1e-3}, Expectation{DG_PRECISION_F16, DG_TYPE_AUTO, 2e-3},
          Expectation{DG_PRECISION_BF16, DG_TYPE_AUTO, 2e-2}, Expectation{DG_PRECISION_F16, DG_TYPE_Q8_0, 3e-2},
          Expectation{DG_PRECISION_F16, DG_TYPE_Q4_0, 0.5}, Expectation{DG_PRECISION_F16, DG_TYPE_Q5_1, 0.3},
          Expectation{DG_PRECISION_F16, DG_TYPE_Q4_K, 0.5}}) {
        Options options;
        options.precision = e.precision;
        options.type      = e.type;
        Nano nano(options);
        const auto got     = evaluate(nano.model, 1, 16, 16);
        const double error = relative(got.data(), want.data(), want.size());
        CHECK_NEAR(error, 0, e.tolerance);
        CHECK(error > 0);
    }
}

CASE("guided images that share texts, on threads of their own, are what each pair of rows is alone") {
    for (const int32_t precision : {DG_PRECISION_EXACT, DG_PRECISION_AUTO}) {
        for (const int32_t flash : {DG_FLASH_ON, DG_FLASH_OFF}) {
            Options options;
            options.precision = precision;
            options.flash     = flash;
            options.threads   = 3;
            Nano nano(options);
            for (const int64_t n : {4, 6, 8}) {
                const auto batch   = evaluate(nano.model, n, 16, 16, 0, 77, 2);
                const size_t image = batch.size() / static_cast<size_t>(n);
                for (int64_t i = 0; i < n; i += 2) {
                    const auto alone = evaluate(nano.model, 2, 16, 16, i, 77, 2);
                    CHECK(std::equal(alone.begin(), alone.end(), batch.begin() + static_cast<long>(i * image)));
                }
            }
        }
    }
}

CASE("the measured compute buffer of shares and shared texts is the one allocated") {
    Options options;
    options.threads = 2;
    Nano nano(options);
    for (const int64_t texts : {1, 8}) {
        evaluate(nano.model, 8, 16, 16, 0, 77, texts);
        dg_compute_query query = unet_query(8, 16, 16);
        query.texts            = static_cast<int32_t>(texts);
        size_t measured = 0, held = 0;
        REQUIRE(dg_compute_size(nano.model, &query, &measured, message, sizeof(message)) == DG_OK);
        REQUIRE(dg_compute_held(nano.model, &held, message, sizeof(message)) == DG_OK);
        CHECK_EQ(measured, held);
        query.texts = 9;
        CHECK(dg_compute_size(nano.model, &query, &measured, message, sizeof(message)) == DG_ERR_ARGUMENT);
    }
}

CASE("small pictures go through the VAE side by side, with the bits of each alone") {
    Options options;
    options.threads = 2;
    for (const int32_t precision : {DG_PRECISION_EXACT, DG_PRECISION_BF16}) {
        options.precision = precision;
        Nano nano(options);
        const int64_t side = 16, latent = 4 * side * side, pixel = 3 * 64 * side * side, pictures = 5;
        const std::vector<float> latents = wave(static_cast<size_t>(pictures * latent), 7);
        std::vector<float> together(static_cast<size_t>(pictures * pixel)), alone(static_cast<size_t>(pixel));
        REQUIRE(dg_vae_decode(nano.model, pictures, side, side, latents.data(), together.data(), together.size(),
                              message, sizeof(message)) == DG_OK);
        dg_compute_query query = unet_query(pictures, side, side);
        query.stage            = DG_STAGE_VAE_DECODE;
        int32_t lanes          = 0;
        REQUIRE(dg_compute_lanes(nano.model, &query, &lanes, message, sizeof(message)) == DG_OK);
        CHECK_EQ(lanes, 2);
        size_t measured = 0, held = 0;
        REQUIRE(dg_compute_size(nano.model, &query, &measured, message, sizeof(message)) == DG_OK);
        REQUIRE(dg_compute_held(nano.model, &held, message, sizeof(message)) == DG_OK);
        CHECK_EQ(measured, held);
        for (int64_t i = 0; i < pictures; i++) {
            REQUIRE(dg_vae_decode(nano.model, 1, side, side, latents.data() + i * latent, alone.data(), alone.size(),
                                  message, sizeof(message)) == DG_OK);
            CHECK(std::equal(alone.begin(), alone.end(), together.begin() + i * pixel));
        }
        query.batch = 1;
        REQUIRE(dg_compute_lanes(nano.model, &query, &lanes, message, sizeof(message)) == DG_OK);
        CHECK_EQ(lanes, 1);
        query = unet_query(8, side, side);
        REQUIRE(dg_compute_lanes(nano.model, &query, &lanes, message, sizeof(message)) == DG_OK);
        CHECK_EQ(lanes, 2);
        query = unet_query(8, 16 * side, 16 * side);  // nodes of this size are worth two threads
        REQUIRE(dg_compute_lanes(nano.model, &query, &lanes, message, sizeof(message)) == DG_OK);
        CHECK_EQ(lanes, 1);
    }
}

CASE("lanes that a call has no use for hold nothing, and what they held is not used again") {
    Options options;
    options.threads = 4;
    Nano nano(options);
    const int64_t side = 16, latent = 4 * side * side, pixel = 3 * 64 * side * side, pictures = 4;
    const std::vector<float> latents = wave(static_cast<size_t>(pictures * latent), 7);
    const auto decode                = [&] {
        std::vector<float> pixels(static_cast<size_t>(pictures * pixel));
        REQUIRE(dg_vae_decode(nano.model, pictures, side, side, latents.data(), pixels.data(), pixels.size(), message,
                                             sizeof(message)) == DG_OK);
        return pixels;
    };
    const auto want        = decode();
    const auto noise       = evaluate(nano.model, 4, side, side);
    dg_compute_query query = unet_query(4, side, side);
    size_t measured = 0, held = 0;
    REQUIRE(dg_compute_size(nano.model, &query, &measured, message, sizeof(message)) == DG_OK);
    REQUIRE(dg_compute_held(nano.model, &held, message, sizeof(message)) == DG_OK);
    CHECK_EQ(measured, held);  // two lanes now, of four before
    REQUIRE(dg_model_unload(nano.model, DG_COMPONENT_VAE_DECODER, message, sizeof(message)) == DG_OK);
    CHECK(decode() == want);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));  // the lanes' threads sleep by now
    CHECK(evaluate(nano.model, 4, side, side) == noise);
    for (int64_t after = 0; after < 4; after++) {  // the buffer of each lane in turn
        REQUIRE(dg_compute_release(nano.model, message, sizeof(message)) == DG_OK);
        REQUIRE(dg_test_fail_allocations(1, 1, after, nullptr, message, sizeof(message)) == DG_OK);
        std::vector<float> pixels(static_cast<size_t>(pictures * pixel));
        CHECK_EQ(dg_vae_decode(nano.model, pictures, side, side, latents.data(), pixels.data(), pixels.size(), message,
                               sizeof(message)),
                 static_cast<dg_status>(DG_ERR_OUT_OF_MEMORY));
        REQUIRE(dg_test_fail_allocations(0, 0, 0, nullptr, message, sizeof(message)) == DG_OK);
        CHECK(decode() == want);
    }
}

CASE("the measured compute buffer is the one allocated") {
    Nano nano;
    evaluate(nano.model, 2, 16, 24);
    const dg_compute_query query = unet_query(2, 16, 24);
    size_t measured = 0, held = 0;
    REQUIRE(dg_compute_size(nano.model, &query, &measured, message, sizeof(message)) == DG_OK);
    REQUIRE(dg_compute_held(nano.model, &held, message, sizeof(message)) == DG_OK);
    CHECK_EQ(measured, held);
    CHECK(held > 0);
    REQUIRE(dg_compute_release(nano.model, message, sizeof(message)) == DG_OK);
    REQUIRE(dg_compute_held(nano.model, &held, message, sizeof(message)) == DG_OK);
    CHECK_EQ(held, size_t{0});
}

CASE("streamed, mapped and loaded weights give the same bits, in any precision") {
    for (const int32_t precision : {DG_PRECISION_EXACT, DG_PRECISION_F16, DG_PRECISION_BF16}) {
        Options options;
        options.precision  = precision;
        options.components = DG_COMPONENT_UNET;
        std::vector<float> want, want_batch;
        {
            Nano nano(options);
            want       = evaluate(nano.model, 1, 16, 16);
            want_batch = evaluate(nano.model, 2, 8, 16);
        }
        options.residency = DG_RESIDENT_STREAM;
        options.window    = 1;
        dg_model* none    = nullptr;
        CHECK_EQ(open_model(options, &none), DG_ERR_ARGUMENT);
        const char* needs = std::strstr(message, "needs, ");
        REQUIRE(needs != nullptr);
        const int64_t least = std::atoll(needs + 7);
        CHECK(least > 100000);
        for (const int64_t window :
             {least, least + least / 3, 2 * least, 5 * least, int64_t{0}, int64_t{-1}, int64_t{-2}}) {
            options.window    = std::max<int64_t>(window, 0);
            options.residency = window == -1   ? DG_RESIDENT_MMAP
                                : window == -2 ? DG_RESIDENT_ON_DEMAND
                                               : DG_RESIDENT_STREAM;
            Nano nano(options);
            CHECK(evaluate(nano.model, 1, 16, 16) == want);
            CHECK(evaluate(nano.model, 1, 16, 16) == want);
            CHECK(evaluate(nano.model, 2, 8, 16) == want_batch);
            REQUIRE(dg_model_unload(nano.model, DG_COMPONENT_UNET, message, sizeof(message)) == DG_OK);
            CHECK(evaluate(nano.model, 1, 16, 16) == want);
            dg_memory_info memory;
            std::memset(&memory, 0, sizeof(memory));
            memory.struct_size = sizeof(memory);
            REQUIRE(dg_model_memory(nano.model, &memory, message, sizeof(message)) == DG_OK);
            CHECK_EQ(memory.loaded, static_cast<int32_t>(DG_COMPONENT_UNET));
            CHECK(memory.weights[2] > 0 && memory.compute > 0);
            CHECK_EQ(memory.total, memory.weights[2] + memory.compute);
            CHECK_EQ(memory.mapped[2] > 0, window == -1 && precision == DG_PRECISION_F16);
            if (window > 0) {
                CHECK(memory.weights_peak[2] < window + (400 << 10));
            }
        }
    }
}

CASE("attention in slices of any size is attention, with less memory") {
    Options options;
    options.flash = DG_FLASH_OFF;
    Nano plain(options);
    const auto want = evaluate(plain.model, 2, 16, 16, 0, 154);
    size_t before = 0, held = 0;
    REQUIRE(dg_compute_held(plain.model, &before, message, sizeof(message)) == DG_OK);
    for (const int64_t bytes : {1, 100000, 300000}) {
        options.attention = bytes;
        Nano sliced(options);
        const auto got = evaluate(sliced.model, 2, 16, 16, 0, 154);
        CHECK_NEAR(relative(got.data(), want.data(), want.size()), 0, 2e-6);
        REQUIRE(dg_compute_held(sliced.model, &held, message, sizeof(message)) == DG_OK);
        CHECK(held <= before);
    }
}

CASE("an allocation that fails leaves the model usable") {
    Options options;
    options.residency = DG_RESIDENT_STREAM;
    Nano nano(options);
    const auto want            = evaluate(nano.model, 1, 8, 8);
    std::vector<float> latents = wave(4 * 4 * 4, 0), pixels(3 * 32 * 32);
    int failed                 = 0;
    for (int64_t after = 0; after < 8; after++) {
        REQUIRE(dg_test_fail_allocations(1, 1, after, nullptr, message, sizeof(message)) == DG_OK);
        REQUIRE(dg_model_unload(nano.model, DG_COMPONENT_VAE_DECODER, message, sizeof(message)) == DG_OK);
        const dg_status status =
            dg_vae_decode(nano.model, 1, 4, 4, latents.data(), pixels.data(), pixels.size(), message, sizeof(message));
        if (status != DG_OK) {
            CHECK_EQ(status, DG_ERR_OUT_OF_MEMORY);
            CHECK(std::strstr(message, "could not be allocated on cpu") != nullptr);
            failed++;
        }
        REQUIRE(dg_test_fail_allocations(0, 0, 0, nullptr, message, sizeof(message)) == DG_OK);
        CHECK(evaluate(nano.model, 1, 8, 8) == want);
    }
    CHECK(failed >= 3 && failed < 8);  // small weights, their window, the compute buffer
    CHECK_EQ(dg_test_fail_allocations(0, 2, 0, nullptr, message, sizeof(message)), DG_ERR_ARGUMENT);
}

CASE("convolutions wrap around: a picture that is shifted comes out shifted, and the axes are the caller's") {
    Nano nano;
    CHECK_EQ(dg_model_set_wrap(nano.model, 4, message, sizeof(message)), static_cast<dg_status>(DG_ERR_ARGUMENT));
    const int64_t n = 16, scale = 8;
    const auto decode = [&](const std::vector<float>& latents) {
        std::vector<float> pixels(static_cast<size_t>(3 * n * scale * n * scale));
        REQUIRE(dg_vae_decode(nano.model, 1, n, n, latents.data(), pixels.data(), pixels.size(), message,
                              sizeof(message)) == DG_OK);
        return pixels;
    };
    // moves the content of planes of side x side by so much to the right and down
    const auto shifted = [](const std::vector<float>& in, int64_t side, int64_t right, int64_t down) {
        std::vector<float> out(in.size());
        for (size_t i = 0; i < in.size(); i++) {
            const int64_t at = static_cast<int64_t>(i), plane = at / (side * side), y = at / side % side, x = at % side;
            out[static_cast<size_t>((plane * side + (y + down) % side) * side + (x + right) % side)] = in[i];
        }
        return out;
    };
    const auto distance = [](const std::vector<float>& a, const std::vector<float>& b) {
        double difference = 0, norm = 0;
        for (size_t i = 0; i < a.size(); i++) {
            difference += (a[i] - b[i]) * (a[i] - b[i]);
            norm += b[i] * b[i];
        }
        return std::sqrt(difference / norm);
    };
    const std::vector<float> latents = wave(static_cast<size_t>(4 * n * n), 0);
    const auto error                 = [&](int32_t axes, int64_t right, int64_t down) {
        REQUIRE(dg_model_set_wrap(nano.model, axes, message, sizeof(message)) == DG_OK);
        return distance(decode(shifted(latents, n, right, down)),
                                        shifted(decode(latents), n * scale, right * scale, down * scale));
    };
    CHECK(error(DG_WRAP_X | DG_WRAP_Y, 5, 3) < 1e-3);
    CHECK(error(DG_WRAP_X, 5, 0) < 1e-3);
    CHECK(error(DG_WRAP_Y, 0, 3) < 1e-3);
    CHECK(error(DG_WRAP_X, 0, 3) > 1e-2);
    CHECK(error(DG_WRAP_NONE, 5, 0) > 1e-2);
}

CASE("cancelling stops calls until it is cleared, and a running one") {
    Nano nano;
    const auto before          = evaluate(nano.model, 1, 16, 16);
    std::vector<float> latents = wave(4 * 96 * 96, 0), pixels(3 * 768 * 768);
    REQUIRE(dg_model_set_cancel(nano.model, 1, message, sizeof(message)) == DG_OK);
    CHECK_EQ(
        dg_vae_decode(nano.model, 1, 96, 96, latents.data(), pixels.data(), pixels.size(), message, sizeof(message)),
        static_cast<dg_status>(DG_ERR_CANCELLED));
    REQUIRE(dg_model_set_cancel(nano.model, 0, message, sizeof(message)) == DG_OK);
    // while one runs: over and over, until it is done, so that the flag cannot come too early
    std::atomic<bool> done{false};
    std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        char text[256];
        dg_model_set_cancel(nano.model, 1, text, sizeof(text));
        while (!done) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        dg_model_set_cancel(nano.model, 0, text, sizeof(text));
    });
    dg_status status = DG_OK;
    for (int i = 0; i < 1000 && status == DG_OK; i++) {
        status = dg_vae_decode(nano.model, 1, 96, 96, latents.data(), pixels.data(), pixels.size(), message,
                               sizeof(message));
    }
    done = true;
    canceller.join();
    CHECK_EQ(status, static_cast<dg_status>(DG_ERR_CANCELLED));
    const auto after = evaluate(nano.model, 1, 16, 16);
    CHECK_EQ(relative(after.data(), before.data(), before.size()), 0.0);
}

CASE("a component that was not loaded is named") {
    Options options;
    options.components = DG_COMPONENT_VAE_DECODER;
    Nano nano(options);
    std::vector<float> pixels(3 * 16 * 16), moments(8 * 2 * 2);
    CHECK_EQ(
        dg_vae_encode(nano.model, 1, 16, 16, pixels.data(), moments.data(), moments.size(), message, sizeof(message)),
        static_cast<dg_status>(DG_ERR_UNSUPPORTED));
    CHECK(std::string(message).find("vae_encoder") != std::string::npos);
}

CASE("wrong sizes and counts are refused with the field's name") {
    Nano nano;
    std::vector<float> pixels(3 * 16 * 20), moments(8 * 2 * 2);
    CHECK_EQ(
        dg_vae_encode(nano.model, 1, 16, 20, pixels.data(), moments.data(), moments.size(), message, sizeof(message)),
        static_cast<dg_status>(DG_ERR_ARGUMENT));
    CHECK(std::string(message).find("multiple of 8") != std::string::npos);
    CHECK_EQ(dg_vae_encode(nano.model, 1, 16, 16, pixels.data(), moments.data(), 7, message, sizeof(message)),
             static_cast<dg_status>(DG_ERR_ARGUMENT));
    CHECK(std::string(message).find("moments") != std::string::npos);
}

CASE("an unknown device lists the known ones") {
    Options options;
    options.device  = "quantum:0";
    dg_model* model = nullptr;
    CHECK_EQ(open_model(options, &model), static_cast<dg_status>(DG_ERR_DEVICE));
    CHECK(model == nullptr);
    CHECK(std::string(message).find("cpu") != std::string::npos);
}

CASE("no handle is left") {
    CHECK_EQ(dg_live_handles(), int64_t{0});
}

CHECK_MAIN()
