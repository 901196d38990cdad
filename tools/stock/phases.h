// Tells the phases of a generate_image call apart, from the outside: the public C API has no timings, but
// its callbacks (log lines and progress) come at the borders of the phases.
#pragma once

#include <chrono>
#include <string>
#include <vector>

// Weights are read lazily, inside the phase that needs them first; that time is counted as loading
// and taken off the phase.
class Phases {
public:
    // Starts the clock of new_sd_ctx.
    void begin_load();
    void end_load();

    // From the engine's log callback: one line, with its file name and line number before it.
    void log(const std::string& line);
    // From the engine's progress callback; the same one reports steps and weights being read.
    void progress(int step, int steps);
    // generate_image is about to be called, with so many steps.
    void begin(int steps);

    double load_seconds() const { return opened_ + reading_; }
    double text_seconds() const { return text_; }
    double decode_seconds() const { return decode_; }
    const std::vector<double>& step_seconds() const { return steps_; }
    // Empty, or which border was never seen: the engine words its log differently.
    std::string missing() const;

private:
    using Clock = std::chrono::steady_clock;
    double since_mark();  // seconds since mark_, without reading; sets mark_ to now

    Clock::time_point mark_{}, read_mark_{};
    bool is_reading_ = false, sampling_ = false, has_text_ = false, has_decode_ = false;
    int expected_ = 0;
    double opened_ = 0, reading_ = 0, reading_in_phase_ = 0, text_ = 0, decode_ = 0;
    std::vector<double> steps_;
};
