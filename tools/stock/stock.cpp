// stock: one picture from the unchanged engine, through its public C API, with times of every phase.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <string>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif
#include "stb_image_write.h"
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include "events.h"
#include "options.h"
#include "phases.h"
#include "stable-diffusion.h"

namespace {

struct State {
    Phases phases;
    bool verbose = false;
    std::string last_error;
};

void on_log(sd_log_level_t level, const char* text, void* data) {
    State* state = static_cast<State*>(data);
    state->phases.log(text);
    if (level == SD_LOG_ERROR) {
        state->last_error = text;
    }
    if (state->verbose || level == SD_LOG_ERROR) {
        std::fputs(text, stderr);
    }
}

void on_progress(int step, int steps, float, void* data) { static_cast<State*>(data)->phases.progress(step, steps); }

int fail(int code, const std::string& message) {
    Event("error").text("message", message).print();
    std::fprintf(stderr, "stock: %s\n", message.c_str());
    return code;
}

int64_t peak_rss_bytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<int64_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

void print_build(int threads) {
    Event("build")
        .text("engine", STOCK_ENGINE_PIN)
        .text("version", sd_version())
        .text("compiler", STOCK_COMPILER)
        .text("build_type", STOCK_BUILD_TYPE)
        .text("options", STOCK_BUILD_OPTIONS)
        .text("system", sd_get_system_info())
        .integer("threads", threads)
        .print();
}

sd_ctx_t* open_model(const Options& o, int threads, sd_type_t type) {
    sd_ctx_params_t p;
    sd_ctx_params_init(&p);
    p.model_path = o.model.c_str();
    p.clip_g_path = o.clip_g.c_str();
    p.n_threads = threads;
    p.wtype = type;
    p.rng_type = CPU_RNG;
    p.sampler_rng_type = CPU_RNG;
    p.flash_attn = o.flash_attn;
    p.diffusion_flash_attn = o.diffusion_flash_attn;
    p.diffusion_conv_direct = o.diffusion_conv_direct;
    p.vae_conv_direct = o.vae_conv_direct;
    return new_sd_ctx(&p);
}

sd_image_t* make_picture(const Options& o, sd_ctx_t* ctx) {
    sd_img_gen_params_t p;
    sd_img_gen_params_init(&p);
    p.prompt = o.prompt.c_str();
    p.negative_prompt = o.negative_prompt.c_str();
    p.width = o.width;
    p.height = o.height;
    p.seed = o.seed;
    p.sample_params.sample_method = EULER_SAMPLE_METHOD;
    p.sample_params.scheduler = DISCRETE_SCHEDULER;
    p.sample_params.sample_steps = o.steps;
    p.sample_params.guidance.txt_cfg = o.cfg_scale;
    return generate_image(ctx, &p);
}

void print_times(const Phases& phases, double total) {
    Event("load").number("seconds", phases.load_seconds()).print();
    Event("text").number("seconds", phases.text_seconds()).print();
    for (size_t i = 0; i < phases.step_seconds().size(); i++) {
        Event("step").integer("step", static_cast<int64_t>(i) + 1).number("seconds", phases.step_seconds()[i]).print();
    }
    Event("decode").number("seconds", phases.decode_seconds()).print();
    Event("done").number("seconds", total).integer("peak_rss_bytes", peak_rss_bytes()).print();
}

int run(const Options& o) {
    sd_type_t type = SD_TYPE_COUNT;  // the engine's "as in the file"
    if (o.type != "auto" && (type = str_to_sd_type(o.type.c_str())) == SD_TYPE_COUNT) {
        return fail(2, "--type " + o.type + " is not a type of the engine; try auto, f32, f16, bf16 or q8_0");
    }
    int threads = o.threads > 0 ? o.threads : sd_get_num_physical_cores();
    print_build(threads);
    if (o.build_info) {
        return 0;
    }
    State state;
    state.verbose = o.verbose;
    sd_set_log_callback(on_log, &state);
    sd_set_progress_callback(on_progress, &state);

    auto began = std::chrono::steady_clock::now();
    state.phases.begin_load();
    sd_ctx_t* ctx = open_model(o, threads, type);
    if (ctx == nullptr) {
        return fail(3, "the engine could not open " + o.model + ": " + state.last_error);
    }
    state.phases.end_load();
    state.phases.begin(o.steps);
    sd_image_t* images = make_picture(o, ctx);
    if (images == nullptr || images[0].data == nullptr) {
        free_sd_ctx(ctx);
        return fail(1, "the engine made no picture: " + state.last_error);
    }
    double total = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    int code = 0;
    if (std::string border = state.phases.missing(); !border.empty()) {
        code = fail(1, "the engine's log lacks " + border + "; adapt tools/stock/phases.cpp to this version");
    } else if (!o.output.empty() && !stbi_write_png(o.output.c_str(), static_cast<int>(images[0].width), static_cast<int>(images[0].height),
                                                    static_cast<int>(images[0].channel), images[0].data, 0)) {
        code = fail(1, "could not write " + o.output);
    } else {
        print_times(state.phases, total);
    }
    free_sd_images(images, 1);
    free_sd_ctx(ctx);
    return code;
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    std::string message;
    bool help = false;
    if (!parse_options(argc, argv, &o, &message, &help)) {
        if (help) {
            std::fputs(message.c_str(), stdout);
            return 0;
        }
        return fail(2, message);
    }
    return run(o);
}
