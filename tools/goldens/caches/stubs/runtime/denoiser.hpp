#pragma once
#define TIMESTEPS 1000
struct Denoiser {
    float t_to_sigma(float t) const { return t; }
};
