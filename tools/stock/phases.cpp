#include "phases.h"

namespace {

double seconds(std::chrono::steady_clock::duration d) { return std::chrono::duration<double>(d).count(); }

bool has(const std::string& line, const char* part) { return line.find(part) != std::string::npos; }

}  // namespace

void Phases::begin_load() { mark_ = Clock::now(); }

void Phases::end_load() { opened_ = since_mark(); }

double Phases::since_mark() {
    Clock::time_point now = Clock::now();
    double spent = seconds(now - mark_) - reading_in_phase_;
    mark_ = now;
    reading_in_phase_ = 0;
    return spent;
}

void Phases::begin(int steps) {
    expected_ = steps;
    since_mark();
}

// The lines are those of stable-diffusion.cpp and model_loader.cpp; see README.md.
void Phases::log(const std::string& line) {
    if (has(line, " - loading ") && has(line, " tensors from ")) {
        is_reading_ = true;
        read_mark_ = Clock::now();
    } else if (has(line, "loading tensors completed") && is_reading_) {
        is_reading_ = false;
        double spent = seconds(Clock::now() - read_mark_);
        reading_ += spent;
        reading_in_phase_ += spent;
    } else if (has(line, "get_learned_condition completed")) {
        text_ = since_mark();
        has_text_ = true;
    } else if (has(line, "generating image: ")) {
        since_mark();
        sampling_ = true;
    } else if (has(line, "sampling completed")) {
        sampling_ = false;
    } else if (has(line, " - decoding ") && has(line, " latents")) {
        since_mark();
    } else if (has(line, "decode_first_stage completed")) {
        decode_ = since_mark();
        has_decode_ = true;
    }
}

void Phases::progress(int step, int steps) {
    if (!sampling_ || is_reading_ || steps != expected_) {
        return;
    }
    if (step == 0) {
        since_mark();
    } else if (step == static_cast<int>(steps_.size()) + 1) {
        steps_.push_back(since_mark());
    }
}

std::string Phases::missing() const {
    if (!has_text_) {
        return "the end of the text encoding";
    }
    if (static_cast<int>(steps_.size()) != expected_) {
        return "the end of every step (" + std::to_string(steps_.size()) + " of " + std::to_string(expected_) + " seen)";
    }
    return has_decode_ ? "" : "the end of the VAE's decoding";
}
