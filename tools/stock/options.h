// The command line of stock.
#pragma once

#include <cstdint>
#include <string>

struct Options {
    std::string model;
    std::string clip_g;          // tensors of the second text encoder that replace the checkpoint's
    std::string prompt = "a lighthouse on a cliff in the evening";
    std::string negative_prompt = "blurry";
    std::string output;          // .png; empty: no file
    std::string type = "auto";   // weights in memory, or auto: as in the file
    int width = 256;
    int height = 256;
    int steps = 4;
    float cfg_scale = 5.0f;
    int64_t seed = 42;
    int threads = 0;             // 0: what the engine takes by default
    bool diffusion_flash_attn = false;
    bool flash_attn = false;     // of the text encoders and the VAE too
    bool diffusion_conv_direct = false;
    bool vae_conv_direct = false;
    bool verbose = false;        // the engine's log on standard error
    bool build_info = false;     // print how this was built, and nothing else
};

// Reads argv into *out. On a mistake it returns false and *message says what is wrong; on --help
// it returns false with the help and *help set.
bool parse_options(int argc, char** argv, Options* out, std::string* message, bool* help);
