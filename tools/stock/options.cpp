#include "options.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <vector>

namespace {

struct Flag {
    const char* name;
    const char* value;  // its name in the help, or nullptr for a switch
    const char* help;
    std::function<bool(const std::string&)> set;
};

bool to_integer(const std::string& text, int64_t low, int64_t high, int64_t* out) {
    char* end = nullptr;
    errno = 0;
    long long v = std::strtoll(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || errno != 0 || v < low || v > high) {
        return false;
    }
    *out = v;
    return true;
}

std::function<bool(const std::string&)> integer(int* field, int64_t low, int64_t high) {
    return [=](const std::string& text) {
        int64_t v = 0;
        if (!to_integer(text, low, high, &v)) {
            return false;
        }
        *field = static_cast<int>(v);
        return true;
    };
}

std::function<bool(const std::string&)> text(std::string* field) {
    return [=](const std::string& value) {
        *field = value;
        return true;
    };
}

std::function<bool(const std::string&)> on(bool* field) {
    return [=](const std::string&) {
        *field = true;
        return true;
    };
}

std::vector<Flag> flags_of(Options* o) {
    auto seed = [=](const std::string& value) { return to_integer(value, 0, INT64_MAX, &o->seed); };
    auto cfg = [=](const std::string& value) {
        char* end = nullptr;
        o->cfg_scale = std::strtof(value.c_str(), &end);
        return !value.empty() && *end == '\0' && std::isfinite(o->cfg_scale);
    };
    auto size = [](int* field) {
        return [=](const std::string& value) { return integer(field, 64, 4096)(value) && *field % 64 == 0; };
    };
    return {
        {"--model", "FILE", "checkpoint of SDXL base (needed)", text(&o->model)},
        {"--clip-g", "FILE", "tensors of the second text encoder that replace the checkpoint's", text(&o->clip_g)},
        {"--prompt", "TEXT", "", text(&o->prompt)},
        {"--negative-prompt", "TEXT", "an empty one is zeroed by the engine", text(&o->negative_prompt)},
        {"--width", "N", "a multiple of 64", size(&o->width)},
        {"--height", "N", "a multiple of 64", size(&o->height)},
        {"--steps", "N", "of Euler's method on the discrete schedule", integer(&o->steps, 1, 1000)},
        {"--cfg-scale", "X", "", cfg},
        {"--seed", "N", "of torch's CPU generator", seed},
        {"--threads", "N", "0: what the engine takes by default", integer(&o->threads, 0, 1024)},
        {"--type", "T", "weights in memory: auto, f32, f16, bf16, q8_0, ...", text(&o->type)},
        {"--output", "FILE", "a .png file", text(&o->output)},
        {"--diffusion-fa", nullptr, "flash attention in the UNet", on(&o->diffusion_flash_attn)},
        {"--fa", nullptr, "flash attention everywhere", on(&o->flash_attn)},
        {"--diffusion-conv-direct", nullptr, "direct convolutions in the UNet", on(&o->diffusion_conv_direct)},
        {"--vae-conv-direct", nullptr, "direct convolutions in the VAE", on(&o->vae_conv_direct)},
        {"--verbose", nullptr, "the engine's log on standard error", on(&o->verbose)},
        {"--build-info", nullptr, "print how this program was built", on(&o->build_info)},
    };
}

std::string help_of(const std::vector<Flag>& flags) {
    std::string out = "usage: stock --model FILE [flags]\n\nMakes one picture with the engine as its authors build it and prints "
                      "what it took, one JSON object a line.\n\n";
    for (const Flag& f : flags) {
        std::string left = std::string("  ") + f.name + (f.value != nullptr ? std::string(" ") + f.value : "");
        left.resize(std::max<size_t>(left.size() + 1, 28), ' ');
        out += left + f.help + "\n";
    }
    return out;
}

}  // namespace

bool parse_options(int argc, char** argv, Options* out, std::string* message, bool* help) {
    *help = false;
    std::vector<Flag> flags = flags_of(out);
    for (int i = 1; i < argc; i++) {
        std::string name = argv[i];
        if (name == "-h" || name == "--help") {
            *help = true;
            *message = help_of(flags);
            return false;
        }
        const Flag* flag = nullptr;
        for (const Flag& f : flags) {
            if (name == f.name) {
                flag = &f;
            }
        }
        if (flag == nullptr) {
            *message = "unknown argument '" + name + "'; --help lists the known ones";
            return false;
        }
        std::string value;
        if (flag->value != nullptr) {
            if (i + 1 == argc) {
                *message = name + " needs a value: " + flag->value;
                return false;
            }
            value = argv[++i];
        }
        if (!flag->set(value)) {
            *message = name + " " + value + " is not valid (" + flag->value + (*flag->help ? std::string(", ") + flag->help : "") + ")";
            return false;
        }
    }
    if (out->model.empty() && !out->build_info) {
        *message = "--model is missing; give a checkpoint of SDXL base";
        return false;
    }
    return true;
}
