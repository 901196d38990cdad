#include "backend/lost.h"

#include <cstdlib>
#include <mutex>
#include <set>

#include "base/error.h"

namespace dg {

namespace {

struct Losses {
    std::mutex mutex;
    std::set<std::string> lost;
    std::string order;  // the device that a test loses
    long graphs = 0;  // that still run there

    Losses() {
        const char* text = std::getenv("DAGUERRE_LOSE_DEVICE");
        if (text != nullptr) {
            const std::string whole = text;
            const size_t comma      = whole.rfind(',');
            order                   = whole.substr(0, comma);
            graphs                  = comma == std::string::npos ? 0 : std::atol(whole.c_str() + comma + 1);
        }
    }
};

Losses& losses() {
    static Losses instance;
    return instance;
}

[[noreturn]] void fail_lost(const Device& device, const std::string& what, const std::string& why) {
    fail(DG_ERR_DEVICE, "%s: %s (%s) was lost: %s. Nothing in this process can compute on it any more; start again",
         what.c_str(), device.id.c_str(), device.description.c_str(), why.c_str());
}

}  // namespace

void count_graph(const Device& device) {
    Losses& l = losses();
    const std::lock_guard<std::mutex> lock(l.mutex);
    if (device.id == l.order && l.graphs-- <= 0) {
        l.lost.insert(device.id);
    }
}

void refuse_lost(const Device& device, const std::string& what) {
    Losses& l = losses();
    const std::lock_guard<std::mutex> lock(l.mutex);
    if (l.lost.count(device.id) > 0) {
        fail_lost(device, what, device.id == l.order ? "DAGUERRE_LOSE_DEVICE says so" : "by an earlier computation");
    }
}

// Vulkan throws vk::DeviceLostError; CUDA's errors are assertions of ggml.
void note_loss(const Device& device, const std::string& what, const std::exception& e) {
    const std::string text = e.what();
    if (is_cpu(device) ||
        (text.find("DeviceLost") == std::string::npos && text.find("CUDA error") == std::string::npos)) {
        return;
    }
    Losses& l = losses();
    const std::lock_guard<std::mutex> lock(l.mutex);
    l.lost.insert(device.id);
    fail_lost(device, what, text);
}

}  // namespace dg
