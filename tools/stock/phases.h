// Tells the phases of a generate_image call apart, from the outside: the public C API has no timings, but
// its callbacks (log lines and progress) come at the borders of the phases.
#pragma once

#include <chrono>
#include <string>
#include <vector>

// Weights are read lazily, inside the phase that needs them first; that time is counted as loading
// and taken off the phase. The log lines are those of stable-diffusion.cpp and model_loader.cpp; see README.md.
class Phases {
public:
    // Starts and stops the clock of new_sd_ctx.
    void begin_load() { mark_ = Clock::now(); }
    void end_load() { load += since_mark(); }

    // generate_image is about to be called, with so many steps.
    void begin(int steps) {
        expected_ = steps;
        since_mark();
    }

    // From the engine's log callback: one line, with its file name and line number before it.
    void log(const std::string& line) {
        auto has = [&](const char* part) { return line.find(part) != std::string::npos; };
        if (has(" - loading ") && has(" tensors from ")) {
            is_reading_ = true;
            read_mark_ = Clock::now();
        } else if (has("loading tensors completed") && is_reading_) {
            is_reading_ = false;
            double spent = std::chrono::duration<double>(Clock::now() - read_mark_).count();
            load += spent;
            reading_in_phase_ += spent;
        } else if (has("get_learned_condition completed")) {
            text = since_mark();
        } else if (has("generating image: ")) {
            since_mark();
            sampling_ = true;
        } else if (has("sampling completed")) {
            sampling_ = false;
        } else if (has(" - decoding ") && has(" latents")) {
            since_mark();
        } else if (has("decode_first_stage completed")) {
            decode = since_mark();
        }
    }

    // From the engine's progress callback; the same one reports steps and weights being read.
    void progress(int step, int of) {
        if (!sampling_ || is_reading_ || of != expected_) {
            return;
        }
        if (step == 0) {
            since_mark();
        } else if (step == static_cast<int>(steps.size()) + 1) {
            steps.push_back(since_mark());
        }
    }

    // Empty, or which border was never seen: the engine words its log differently.
    std::string missing() const {
        if (text < 0) {
            return "the end of the text encoding";
        }
        if (static_cast<int>(steps.size()) != expected_) {
            return "the end of every step (" + std::to_string(steps.size()) + " of " + std::to_string(expected_) + " seen)";
        }
        return decode < 0 ? "the end of the VAE's decoding" : "";
    }

    // Seconds; below 0 where the end was not seen.
    double load = 0, text = -1, decode = -1;
    std::vector<double> steps;

private:
    using Clock = std::chrono::steady_clock;

    // Seconds since mark_, without reading; sets mark_ to now.
    double since_mark() {
        Clock::time_point now = Clock::now();
        double spent = std::chrono::duration<double>(now - mark_).count() - reading_in_phase_;
        mark_ = now;
        reading_in_phase_ = 0;
        return spent;
    }

    Clock::time_point mark_{}, read_mark_{};
    bool is_reading_ = false, sampling_ = false;
    int expected_ = 0;
    double reading_in_phase_ = 0;
};
