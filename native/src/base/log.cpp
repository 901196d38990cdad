#include "base/log.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string>

#include "base/error.h"
#include "ggml.h"

namespace dg {

namespace {

std::mutex mutex;
dg_log_callback callback = nullptr;
int64_t callback_user    = 0;
int32_t minimum          = DG_LOG_INFO;
std::string ggml_partial;  // ggml logs a line in pieces; the last piece ends with a newline

void emit(int32_t level, const char* text) {
    std::lock_guard<std::mutex> lock(mutex);
    if (callback != nullptr && level >= minimum) {
        callback(level, text, callback_user);
    }
}

void emit_trimmed(int32_t level, const std::string& text) {
    const size_t end = text.find_last_not_of("\r\n ");
    if (end != std::string::npos) {
        emit(level, text.substr(0, end + 1).c_str());
    }
}

void on_ggml_log(ggml_log_level level, const char* text, void*) {
    static thread_local int32_t current = DG_LOG_DEBUG;
    if (level == GGML_LOG_LEVEL_ERROR) {
        current = DG_LOG_ERROR;
    } else if (level == GGML_LOG_LEVEL_WARN) {
        current = DG_LOG_WARN;
    } else if (level != GGML_LOG_LEVEL_CONT) {
        current = DG_LOG_DEBUG;
    }
    std::string line;
    {
        std::lock_guard<std::mutex> lock(mutex);
        ggml_partial += text;
        if (ggml_partial.find('\n') == std::string::npos && ggml_partial.size() < 4096) {
            return;
        }
        line.swap(ggml_partial);
    }
    emit_trimmed(current, line);
}

}  // namespace

void route_engine_logs() {
    static std::once_flag once;
    std::call_once(once, [] { ggml_log_set(on_ggml_log, nullptr); });
}

void set_log(dg_log_callback new_callback, int64_t user, int32_t min_level) {
    std::lock_guard<std::mutex> lock(mutex);
    callback      = new_callback;
    callback_user = user;
    minimum       = min_level;
}

void log(int32_t level, const char* fmt, ...) {
    char buffer[1024];
    va_list args;
    va_start(args, fmt);
    std::vsnprintf(buffer, sizeof(buffer), fmt, args);
    va_end(args);
    emit(level, buffer);
}

}  // namespace dg
