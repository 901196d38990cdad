// stock: one picture from the unchanged engine, through its public C API, with times of every phase.
//
//     stock '{"model": "sdxl.safetensors", "steps": 4}'    prints the seconds of each phase as a JSON object
//     stock                                                prints how it was built and what the options are
#include <cstdio>
#include <exception>
#include <string>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include "json.hpp"
#include "phases.h"
#include "stable-diffusion.h"
#include "stb_image_write.h"

using json = nlohmann::ordered_json;

namespace {

// All options with their defaults. With 0 threads the engine takes what it does by default; without output no file is written.
json default_options() {
    return {
        {"model", ""},                 // checkpoint of SDXL base
        {"clip_g", ""},                // tensors of the second text encoder that replace the checkpoint's
        {"prompt", "a lighthouse on a cliff in the evening"},
        {"negative_prompt", "blurry"}, // an empty one is zeroed by the engine
        {"output", ""},                // a .png file
        {"type", "auto"},              // weights in memory, or auto: as in the file
        {"width", 256},
        {"height", 256},
        {"steps", 4},                  // of Euler's method on the discrete schedule
        {"cfg_scale", 5.0},
        {"seed", 42},                  // of torch's CPU generator
        {"threads", 0},
        {"diffusion_fa", false},       // flash attention in the UNet
        {"fa", false},                 // flash attention everywhere
        {"conv_direct", false},        // direct convolutions in the UNet and the VAE
        {"verbose", false},            // the engine's log on standard error
    };
}

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
    std::fprintf(stderr, "stock: %s\n", message.c_str());
    return code;
}

void print(const json& line) {
    std::printf("%s\n", line.dump().c_str());
    std::fflush(stdout);
}

sd_ctx_t* open_model(const json& o, const std::string& model, const std::string& clip_g, sd_type_t type) {
    sd_ctx_params_t p;
    sd_ctx_params_init(&p);
    p.model_path = model.c_str();
    p.clip_g_path = clip_g.c_str();
    p.n_threads = o["threads"] > 0 ? o["threads"].get<int>() : sd_get_num_physical_cores();
    p.wtype = type;
    p.rng_type = CPU_RNG;
    p.sampler_rng_type = CPU_RNG;
    p.flash_attn = o["fa"];
    p.diffusion_flash_attn = o["diffusion_fa"];
    p.diffusion_conv_direct = o["conv_direct"];
    p.vae_conv_direct = o["conv_direct"];
    return new_sd_ctx(&p);
}

sd_image_t* make_picture(const json& o, sd_ctx_t* ctx) {
    std::string prompt = o["prompt"], negative = o["negative_prompt"];
    sd_img_gen_params_t p;
    sd_img_gen_params_init(&p);
    p.prompt = prompt.c_str();
    p.negative_prompt = negative.c_str();
    p.width = o["width"];
    p.height = o["height"];
    p.seed = o["seed"];
    p.sample_params.sample_method = EULER_SAMPLE_METHOD;
    p.sample_params.scheduler = DISCRETE_SCHEDULER;
    p.sample_params.sample_steps = o["steps"];
    p.sample_params.guidance.txt_cfg = o["cfg_scale"];
    return generate_image(ctx, &p);
}

int run(const json& given) {
    json o = default_options();
    for (const auto& [name, value] : given.items()) {
        if (!o.contains(name)) {
            return fail(2, "unknown option '" + name + "'; without an argument the known ones are printed");
        }
        o[name] = value;
    }
    std::string model = o["model"], clip_g = o["clip_g"], output = o["output"], weights = o["type"];
    sd_type_t type = SD_TYPE_COUNT;  // the engine's "as in the file"
    if (weights != "auto" && (type = str_to_sd_type(weights.c_str())) == SD_TYPE_COUNT) {
        return fail(2, "'" + weights + "' is not a type of the engine; try auto, f32, f16, bf16 or q8_0");
    }
    State state;
    state.verbose = o["verbose"];
    sd_set_log_callback(on_log, &state);
    sd_set_progress_callback(on_progress, &state);

    state.phases.begin_load();
    sd_ctx_t* ctx = open_model(o, model, clip_g, type);
    if (ctx == nullptr) {
        return fail(3, "the engine could not open " + model + ": " + state.last_error);
    }
    state.phases.end_load();
    state.phases.begin(o["steps"]);
    sd_image_t* images = make_picture(o, ctx);
    if (images == nullptr || images[0].data == nullptr) {
        free_sd_ctx(ctx);
        return fail(1, "the engine made no picture: " + state.last_error);
    }
    const Phases& times = state.phases;
    int code = 0;
    if (std::string border = times.missing(); !border.empty()) {
        code = fail(1, "the engine's log lacks " + border + "; adapt tools/stock/phases.h to this version");
    } else if (!output.empty() && !stbi_write_png(output.c_str(), static_cast<int>(images[0].width), static_cast<int>(images[0].height),
                                                  static_cast<int>(images[0].channel), images[0].data, 0)) {
        code = fail(1, "could not write " + output);
    } else {
        print({{"load_seconds", times.load},
               {"text_seconds", times.text},
               {"step_seconds", times.steps},
               {"decode_seconds", times.decode}});
    }
    free_sd_images(images, 1);
    free_sd_ctx(ctx);
    return code;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        print({{"engine", STOCK_ENGINE_PIN}, {"version", sd_version()}, {"compiler", STOCK_COMPILER}, {"build_type", STOCK_BUILD_TYPE},
               {"options", STOCK_BUILD_OPTIONS}, {"system", sd_get_system_info()}, {"threads", sd_get_num_physical_cores()},
               {"argument", default_options()}});
        return 0;
    }
    try {
        return run(json::parse(argv[1]));
    } catch (const std::exception& e) {  // no JSON, or a value of another type
        return fail(2, e.what());
    }
}
